import { Token, Tokenization } from 'aws-cdk-lib'

/** Which of the traces that a proxy begins are reported. */
export interface TracingOptions {
  /**
   * Share of the traces, from 0 to 1, that is sampled where no caller decided it.
   * @default 0.05
   */
  readonly samplingRate?: number
}

/** Where proxies report the requests that they carry (docs/tracing.md). */
export class Tracing {
  /** Nowhere: for a service of a mesh that traces. */
  public static none(): Tracing {
    return new Tracing({}, false)
  }

  /**
   * To X-Ray's own endpoint, signed by the task role, which gets the right. Transaction Search must be enabled in the account and
   * region, once: `weft check --xray` tells.
   * @throws Error when the rate is none.
   */
  public static xray(options: TracingOptions = {}): Tracing {
    return new Tracing({ ENABLE_ENVOY_XRAY_TRACING: '1', ...sampling('XRAY_SAMPLING_RATE', options) }, true)
  }

  /**
   * To a collector that takes OTLP over HTTP.
   * @param endpoint its base URL, such as `http://127.0.0.1:4318` for one in the same task; `/v1/traces` is added.
   * @throws Error when the URL or the rate is none.
   */
  public static otlp(endpoint: string, options: TracingOptions = {}): Tracing {
    if (!/^https?:\/\//.test(endpoint) && !Token.isUnresolved(endpoint)) {
      throw new Error(`a collector's endpoint is a URL such as http://127.0.0.1:4318, not ${JSON.stringify(endpoint)}`)
    }
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...sampling('OTEL_TRACES_SAMPLER_ARG', options) }
    return new Tracing(environment, false)
  }

  /** Whether the task role needs the right to report to X-Ray. */
  public readonly needsXRay: boolean
  /** @internal Variables of the proxy. */
  public readonly _environment: Readonly<Record<string, string>>

  private constructor(environment: Readonly<Record<string, string>>, needsXRay: boolean) {
    this._environment = environment
    this.needsXRay = needsXRay
  }
}

function sampling(variable: string, { samplingRate }: TracingOptions): Record<string, string> {
  if (samplingRate === undefined) return {}
  if (Token.isUnresolved(samplingRate) || (samplingRate >= 0 && samplingRate <= 1)) {
    return { [variable]: Tokenization.stringifyNumber(samplingRate) }
  }
  throw new Error(`samplingRate is ${samplingRate}; give a share from 0 to 1, such as 0.05 for one trace in twenty`)
}
