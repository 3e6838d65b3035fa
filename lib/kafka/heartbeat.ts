/** Keeps one membership alive beside whatever else the member does, and tells what the coordinator says about it. */
import { TransportError } from '../errors.ts'
import type { Cluster } from './cluster.ts'
import type { GroupMeta } from './port.ts'
import { Code, faultOf, kafkaError } from './protocol/errors.ts'
import type { Lane } from './wire.ts'

/** `lost`: the generation is gone; `forget`: the member id too. `fatal`: so is the right to come back. */
export type News =
  | { kind: 'rebalance' }
  | { kind: 'lost'; cause: TransportError; forget: boolean }
  | { kind: 'fatal'; cause: TransportError }

export interface HeartbeatOptions {
  sessionMs: number
  heartbeatMs: number
  report(news: News): void
}

export class Heartbeats {
  readonly #cluster: Cluster
  readonly #lane: Lane
  readonly #options: HeartbeatOptions
  /** Raised by start and stop: an answer that belongs to an earlier membership says nothing about this one. */
  #epoch = 0
  #timer: unknown
  #contact = 0

  constructor(cluster: Cluster, lane: Lane, options: HeartbeatOptions) {
    this.#cluster = cluster
    this.#lane = lane
    this.#options = options
  }

  /** When the coordinator last heard of us for sure, on the clock: the send time of the last request that was answered. */
  get contact(): number {
    return this.#contact
  }

  start(meta: GroupMeta): void {
    this.stop()
    this.#contact = this.#cluster.clock.now()
    this.#tick(meta, this.#epoch, { waiting: false })
  }

  stop(): void {
    this.#epoch++
    this.#cluster.clock.clearTimeout(this.#timer)
  }

  #tick(meta: GroupMeta, epoch: number, request: { waiting: boolean }): void {
    const { clock } = this.#cluster
    this.#timer = clock.setTimeout(() => {
      if (epoch !== this.#epoch) return
      // Looked at on every tick: a request that hangs must not hide that the session is over.
      const silence = clock.now() - this.#contact
      if (silence >= this.#options.sessionMs) {
        this.stop()
        this.#options.report({ kind: 'lost', cause: sessionOver(meta, silence), forget: false })
        return
      }
      this.#tick(meta, epoch, request)
      if (request.waiting) return
      request.waiting = true
      void this.#beat(meta, epoch).finally(() => {
        request.waiting = false
      })
    }, this.#options.heartbeatMs)
  }

  async #beat(meta: GroupMeta, epoch: number): Promise<void> {
    const { groupId, generation, memberId, instanceId = null } = meta
    const sentAt = this.#cluster.clock.now()
    let code: number
    try {
      const node = await this.#cluster.coordinator('group', groupId)
      if (epoch !== this.#epoch) return
      code = (await this.#lane.call(node, 'Heartbeat', { groupId, generation, memberId, instanceId })).error
    } catch (error) {
      this.#cluster.forgetCoordinator('group', groupId)
      if (epoch !== this.#epoch) return
      // Whatever it is: the session's end decides, unless repeating cannot help.
      if (error instanceof TransportError && error.fault === 'fatal') {
        this.stop()
        this.#options.report({ kind: 'fatal', cause: error })
      }
      return
    }
    if (epoch !== this.#epoch) return
    if (code === Code.NONE || code === Code.REBALANCE_IN_PROGRESS) this.#contact = sentAt
    const news = newsOf(code, meta)
    if (!news) {
      if (faultOf(code) === 'coordinator') this.#cluster.forgetCoordinator('group', groupId)
      return
    }
    if (news.kind !== 'rebalance') this.stop()
    this.#options.report(news)
  }
}

/** What the code of a heartbeat means for the membership; undefined = nothing. */
export function newsOf(code: number, { groupId, memberId }: GroupMeta): News | undefined {
  if (code === Code.NONE) return undefined
  if (code === Code.REBALANCE_IN_PROGRESS) return { kind: 'rebalance' }
  const cause = kafkaError(code, `Membership in group "${groupId}"`, { groupId, memberId })
  if (code === Code.UNKNOWN_MEMBER_ID) return { kind: 'lost', cause, forget: true }
  if (code === Code.ILLEGAL_GENERATION) return { kind: 'lost', cause, forget: false }
  return cause.retriable ? undefined : { kind: 'fatal', cause }
}

export function sessionOver({ groupId, memberId }: GroupMeta, silence: number): TransportError {
  return new TransportError(
    `The session in group "${groupId}" is over: its coordinator has not answered for ${silence} ms. It goes on by joining again.`,
    'retriable',
    { details: { groupId, memberId, silence } }
  )
}
