import type { Agent } from 'node:https'
import type { Answer } from './call.ts'

/** A way to the control plane: a connection, and what goes with each call on it. */
export interface Connection {
  readonly agent: Agent
  /** Header fields that prove who calls; none where the connection itself does, by its client certificate. */
  readonly prove?: (request: {
    readonly url: string
    readonly body: string
  }) => Promise<Readonly<Record<string, string>>>
  /** What a refusal means, and what to do; undefined where the answer says so itself. */
  readonly explain?: (answer: Answer) => string | undefined
}

/** What a proxy has to show that is no certificate. */
export interface Proof {
  /**
   * Goes with every call, syncs too, for somebody in front of the control plane asks for it. Otherwise it buys the first
   * certificate, and that is the proof from then on.
   */
  readonly everyCall: boolean
  /** The caller destroys the agent. Throws with what is wrong with the proof, or with the server it would be shown to. */
  connect(signal: AbortSignal): Promise<Connection>
}
