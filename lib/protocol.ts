/** What an app, a virtual service or a gateway speaks. */
export class MeshProtocol {
  public static readonly HTTP = new MeshProtocol('http')
  public static readonly HTTP2 = new MeshProtocol('http2')
  public static readonly GRPC = new MeshProtocol('grpc')
  /** Opaque bytes: no routes by request, no retries. */
  public static readonly TCP = new MeshProtocol('tcp')

  /** As App Mesh spells it: `http`, `http2`, `grpc`, `tcp`. */
  public readonly value: string

  private constructor(value: string) {
    this.value = value
  }
}
