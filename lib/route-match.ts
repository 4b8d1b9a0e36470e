/** What a route asks of a request. Immutable. */

/** A condition on a header (in gRPC: metadata). */
export class HeaderMatch {
  /** The header is there. */
  public static present(name: string): HeaderMatch {
    return new HeaderMatch(name, {}, false)
  }

  /** The value is this one, case counting. */
  public static exact(name: string, value: string): HeaderMatch {
    return new HeaderMatch(name, { exact: value }, false)
  }

  /** The value begins so, case counting. */
  public static startsWith(name: string, prefix: string): HeaderMatch {
    return new HeaderMatch(name, { prefix }, false)
  }

  /** The value ends so, case counting. */
  public static endsWith(name: string, suffix: string): HeaderMatch {
    return new HeaderMatch(name, { suffix }, false)
  }

  /** The whole value matches; RE2 syntax. */
  public static regex(name: string, regex: string): HeaderMatch {
    return new HeaderMatch(name, { regex }, false)
  }

  /** An integer from `start` up to but not including `end`. */
  public static range(name: string, start: number, end: number): HeaderMatch {
    return new HeaderMatch(name, { range: { start, end } }, false)
  }

  readonly #name: string
  readonly #match: object
  readonly #invert: boolean

  private constructor(name: string, match: object, invert: boolean) {
    this.#name = name
    this.#match = match
    this.#invert = invert
  }

  /** The contrary. A header that is absent never matches a condition on its value, whether inverted or not. */
  public inverted(): HeaderMatch {
    return new HeaderMatch(this.#name, this.#match, !this.#invert)
  }

  /** @internal */
  public _render() {
    const hasMatch = Object.keys(this.#match).length > 0
    return {
      name: this.#name,
      ...(hasMatch ? { match: this.#match } : {}),
      ...(this.#invert ? { invert: true } : {}),
    }
  }
}

/** A condition on a query parameter. */
export class QueryMatch {
  /** The parameter is there, with or without a value. */
  public static present(name: string): QueryMatch {
    return new QueryMatch(name, undefined)
  }

  /** The value is this one, case counting. */
  public static exact(name: string, value: string): QueryMatch {
    return new QueryMatch(name, value)
  }

  readonly #name: string
  readonly #value: string | undefined

  private constructor(name: string, value: string | undefined) {
    this.#name = name
    this.#value = value
  }

  /** @internal */
  public _render() {
    return { name: this.#name, ...(this.#value === undefined ? {} : { match: { exact: this.#value } }) }
  }
}

/** Conditions beside the path; all must hold. */
export interface RouteConditions {
  /**
   * `GET`, `POST` ...
   * @default - any
   */
  readonly method?: string
  /** @default - none */
  readonly headers?: HeaderMatch[]
  /** @default - none */
  readonly queryParameters?: QueryMatch[]
}

/** What a route asks of a gRPC call; all must hold. */
export interface GrpcConditions {
  /**
   * Full name of the service, such as `shop.Orders`.
   * @default - any
   */
  readonly serviceName?: string
  /**
   * Needs `serviceName`.
   * @default - any
   */
  readonly methodName?: string
  /** @default - none */
  readonly metadata?: HeaderMatch[]
}

/** A match in common terms, to compare matches with one another. */
export interface MatchShape {
  /** How the path is compared, and with what. */
  readonly path: { readonly kind: 'exact' | 'prefix' | 'regex'; readonly value: string }
  /** Everything else that must hold, each in one string. */
  readonly conditions: string[]
}

/** Which requests a route takes. */
export class RouteMatch {
  /** Any request, or any that fulfils the conditions. */
  public static any(conditions: RouteConditions = {}): RouteMatch {
    return new RouteMatch('prefix', '/', conditions)
  }

  /** Paths that begin so. */
  public static prefix(prefix: string, conditions: RouteConditions = {}): RouteMatch {
    return new RouteMatch('prefix', prefix, conditions)
  }

  /** This path and no other. */
  public static path(path: string, conditions: RouteConditions = {}): RouteMatch {
    return new RouteMatch('exact', path, conditions)
  }

  /** Paths that match as a whole, without the query; RE2 syntax. */
  public static pathRegex(regex: string, conditions: RouteConditions = {}): RouteMatch {
    return new RouteMatch('regex', regex, conditions)
  }

  /** gRPC calls; for services with that protocol only. */
  public static grpc(conditions: GrpcConditions = {}): RouteMatch {
    return new RouteMatch('prefix', '/', {}, conditions)
  }

  /** @internal Set for gRPC alone. */
  public readonly _grpc: GrpcConditions | undefined
  readonly #kind: MatchShape['path']['kind']
  readonly #value: string
  readonly #conditions: RouteConditions

  private constructor(
    kind: MatchShape['path']['kind'],
    value: string,
    conditions: RouteConditions,
    grpc?: GrpcConditions,
  ) {
    this.#kind = kind
    this.#value = value
    this.#conditions = conditions
    this._grpc = grpc
  }

  /** @internal As App Mesh's HTTP routes and gateway routes have it. */
  public _http() {
    const { method, headers = [], queryParameters = [] } = this.#conditions
    return {
      ...(this.#kind === 'prefix' ? { prefix: this.#value } : { path: { [this.#kind]: this.#value } }),
      ...(method === undefined ? {} : { method }),
      ...(headers.length === 0 ? {} : { headers: headers.map((header) => header._render()) }),
      ...(queryParameters.length === 0 ? {} : { queryParameters: queryParameters.map((query) => query._render()) }),
    }
  }

  /** @internal As App Mesh's gRPC routes have it. */
  public _grpcMatch() {
    const { serviceName, methodName, metadata = [] } = this._grpc ?? {}
    return {
      ...(serviceName === undefined ? {} : { serviceName }),
      ...(methodName === undefined ? {} : { methodName }),
      ...(metadata.length === 0 ? {} : { metadata: metadata.map((header) => header._render()) }),
    }
  }

  /** @internal gRPC's path is `/<service>/<method>`. */
  public _shape(): MatchShape {
    const { method, headers = [], queryParameters = [] } = this.#conditions
    const { serviceName, methodName, metadata = [] } = this._grpc ?? {}
    const conditions = [
      ...(method === undefined ? [] : [`method ${method}`]),
      ...[...headers, ...metadata].map((header) => `header ${JSON.stringify(header._render())}`),
      ...queryParameters.map((query) => `query ${JSON.stringify(query._render())}`),
    ]
    if (serviceName === undefined) return { path: { kind: this.#kind, value: this.#value }, conditions }
    const value = `/${serviceName}/${methodName ?? ''}`
    return { path: { kind: methodName === undefined ? 'prefix' : 'exact', value }, conditions }
  }
}
