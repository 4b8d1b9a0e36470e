import type { IListenerCertificate } from 'aws-cdk-lib/aws-elasticloadbalancingv2'

/** The load balancer that is made for a gateway. */
export interface GatewayLoadBalancerOptions {
  /**
   * Whether it has public addresses and lets everybody in. An internal one lets nobody in until
   * `gateway.connections.allowDefaultPortFrom(...)`.
   * @default false
   */
  readonly isPublic?: boolean
  /**
   * Certificates of ACM with which the load balancer ends TLS. Leave them out where the gateway does it itself.
   * @default - none: no TLS at the load balancer
   */
  readonly certificates?: IListenerCertificate[]
}

/** How clients reach a gateway. */
export class GatewayLoadBalancer {
  /** A Network Load Balancer: any protocol, connections go through to the gateway. */
  public static network(options: GatewayLoadBalancerOptions = {}): GatewayLoadBalancer {
    return new GatewayLoadBalancer('network', options)
  }

  /** An Application Load Balancer: HTTP, with what comes with it (WAF, OIDC). */
  public static application(options: GatewayLoadBalancerOptions = {}): GatewayLoadBalancer {
    return new GatewayLoadBalancer('application', options)
  }

  /** No load balancer of the gateway's own; add `gateway.service` to the targets of another one. */
  public static none(): GatewayLoadBalancer {
    return new GatewayLoadBalancer('none', {})
  }

  /** `network`, `application` or `none`. */
  public readonly kind: string
  public readonly options: GatewayLoadBalancerOptions

  private constructor(kind: string, options: GatewayLoadBalancerOptions) {
    this.kind = kind
    this.options = options
  }
}
