/** What an app, a virtual service or a gateway speaks. */
export class MeshProtocol {
  /** HTTP/1.1, WebSocket and other upgrades included. */
  public static readonly HTTP = new MeshProtocol('http')
  /** HTTP/2 without TLS between app and sidecar (h2c). */
  public static readonly HTTP2 = new MeshProtocol('http2')
  /** gRPC: routes by service, method and metadata. */
  public static readonly GRPC = new MeshProtocol('grpc')
  /** Opaque bytes: no routes by request, no retries. */
  public static readonly TCP = new MeshProtocol('tcp')

  /** As App Mesh spells it: `http`, `http2`, `grpc`, `tcp`. */
  public readonly value: string

  private constructor(value: string) {
    this.value = value
  }
}
