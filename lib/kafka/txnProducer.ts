/** The transactional producer: output, changelog and consumed offsets of one task, all or nothing. */
import { StateError, TransportError } from '../errors.ts'
import { byTopic } from './byTopic.ts'
import type { Cluster } from './cluster.ts'
import { callCoordinator, firstError } from './coordinatorCall.ts'
import type { PartitionQueue } from './partitionQueue.ts'
import type { GroupMeta, Offset, ProducerOptions, TxnProducer } from './port.ts'
import { checkedBatchBytes } from './producer.ts'
import type { ApiMap } from './protocol/api.ts'
import { prepareCodec } from './protocol/compression.ts'
import { Code } from './protocol/errors.ts'
import { Sender } from './sender.ts'
import type { ApiName, Lane } from './wire.ts'

export interface TxnProducerOptions extends ProducerOptions {
  /**
   * After this the broker aborts an open transaction by itself, in ms; also the time within which a request is repeated.
   * Must be longer than a rebalance, and at most the broker's transaction.max.timeout.ms (15 min).
   */
  timeoutMs: number
}

/**
 * Opens a transactional id: its former owner is fenced, and what that one left open is aborted, when this resolves.
 * @throws TransportError 'fatal' with code 50 for a time-out above the broker's limit; 'coordinator' … when no broker answers
 * @example
 * const producer = await createTxnProducer(cluster, 'app-0_3', { timeoutMs: 60_000, lane: 1 })
 * producer.writer('out', 3).append(time, key, 0, key.length, value, 0, value.length, [])
 * await producer.sendOffsets(meta, [{ topic: 'in', partition: 3, offset: 42 }])
 * await producer.commit()
 */
export async function createTxnProducer(
  cluster: Cluster,
  id: string,
  options: TxnProducerOptions
): Promise<TxnProducer> {
  const batchBytes = checkedBatchBytes(options.batchBytes)
  await prepareCodec(options.compression ?? 'none')
  const lane = cluster.wire.lane(`producer:${options.lane}`)
  // A repeat after a lost answer only raises the epoch once more.
  const identity = await callCoordinator(cluster, lane, {
    kind: 'transaction',
    key: id,
    api: 'InitProducerId',
    request: { transactionalId: id, timeoutMs: options.timeoutMs },
    code: (answer) => answer.error,
    what: `Opening the transactional producer "${id}"`,
    timeoutMs: options.timeoutMs,
    ...(options.signal && { signal: options.signal })
  })
  return new KafkaTxnProducer(cluster, lane, id, identity, { ...options, batchBytes })
}

class KafkaTxnProducer implements TxnProducer {
  readonly #cluster: Cluster
  readonly #lane: Lane
  readonly #id: string
  readonly #timeoutMs: number
  readonly #txn: { transactionalId: string; producerId: number; producerEpoch: number }
  readonly #sender: Sender
  /** What the coordinator knows of the current transaction, or may know (an answer was lost). */
  #partitions = new Set<PartitionQueue>()
  #groups = new Set<string>()
  #added = false
  /** A commit was tried and has not succeeded: whether it took effect is not known, so nothing may follow. */
  #commitTried = false
  /** Commits and aborts that are at work. */
  #ends = 0
  /** Requests that belong to the current transaction: its end waits for them. One that came after the end would open another. */
  #underWay = new Set<Promise<unknown>>()
  /** Ends their repeating when the transaction is aborted. */
  #dropping = new AbortController()
  readonly #closing = new AbortController()

  constructor(
    cluster: Cluster,
    lane: Lane,
    id: string,
    identity: { producerId: number; producerEpoch: number },
    options: TxnProducerOptions & { batchBytes: number }
  ) {
    this.#cluster = cluster
    this.#lane = lane
    this.#id = id
    this.#timeoutMs = options.timeoutMs
    this.#txn = { transactionalId: id, producerId: identity.producerId, producerEpoch: identity.producerEpoch }
    this.#sender = new Sender(cluster, {
      lane,
      identity,
      transactionalId: id,
      codec: options.compression ?? 'none',
      batchBytes: options.batchBytes,
      // Past its time-out the transaction is dead anyway.
      deliveryMs: options.timeoutMs,
      admitted: (queue) => this.#partitions.has(queue),
      admit: (queues) => this.#within(this.#addPartitions(queues))
    })
  }

  get inTransaction(): boolean {
    return this.#sender.touched || this.#added
  }

  get pendingBytes(): number {
    return this.#sender.pendingBytes
  }

  writer(topic: string, partition: number): ReturnType<TxnProducer['writer']> {
    return this.#sender.writer(topic, partition)
  }

  kick(): void {
    this.#sender.kick()
  }

  room(limit: number): Promise<void> {
    return this.#sender.room(limit)
  }

  seal(): Promise<void> {
    return this.#sender.seal()
  }

  unseal(): void {
    this.#sender.unseal()
  }

  flush(): Promise<void> {
    return this.#sender.flush()
  }

  async sendOffsets(meta: GroupMeta, offsets: Offset[]): Promise<void> {
    if (this.#ends > 0) {
      throw new StateError(
        `Transaction "${this.#id}" is being ended, so no offsets can go into it: await commit or abort before sendOffsets.`
      )
    }
    await this.#within(this.#stage(meta, offsets))
  }

  async #stage(meta: GroupMeta, offsets: Offset[]): Promise<void> {
    await this.#sender.flush()
    if (offsets.length === 0) return
    const { groupId } = meta
    if (!this.#groups.has(groupId)) {
      this.#added = true // even if the answer is lost: then only EndTxn settles it
      await this.#call('AddOffsetsToTxn', { ...this.#txn, groupId }, (a) => a.error, 'Adding offsets to transaction')
      this.#groups.add(groupId)
    }
    const request = {
      ...this.#txn,
      groupId,
      generation: meta.generation,
      memberId: meta.memberId,
      instanceId: meta.instanceId ?? null,
      topics: byTopic(offsets, ({ partition, offset, metadata }) => ({ partition, offset, metadata: metadata ?? null }))
    }
    // Staged at the group's coordinator, which is another broker as a rule. Repeating it stages the same once more.
    await callCoordinator(this.#cluster, this.#lane, {
      kind: 'group',
      key: groupId,
      api: 'TxnOffsetCommit',
      request,
      code: (answer) => firstError(answer.topics).code,
      what: `Staging offsets of group "${groupId}" in transaction "${this.#id}"`,
      timeoutMs: this.#timeoutMs,
      signal: this.#dropping.signal
    })
  }

  /** Records appended after the flush belong to the next transaction. */
  async commit(): Promise<void> {
    if (this.#commitTried) throw this.#spent()
    await this.#sender.flush()
    const { signal } = this.#dropping
    await this.#end(async () => {
      await this.#sender.idle()
      await this.#settled()
      signal.throwIfAborted()
      if (this.#sender.failure) throw this.#sender.failure
      if (!this.#added) return
      this.#commitTried = true
      await this.#endTxn(true)
      this.#commitTried = false
    })
  }

  async abort(): Promise<void> {
    if (this.#commitTried) throw this.#spent()
    this.#dropping.abort(new StateError(`Transaction "${this.#id}" was aborted`))
    await this.#end(async () => {
      await this.#sender.drop()
      await this.#settled()
      if (this.#added) await this.#endTxn(false)
    })
  }

  /**
   * The race (KIP-890): a process dies, its TxnOffsetCommit still lies at the broker; the successor's InitProducerId ends the
   * transaction with a marker; then the request is executed. Its offsets belong to no transaction and stay pending for ever. The marker
   * of an empty transaction that names the group takes them away, since they are kept by producer id.
   */
  async clearOffsets(groupId: string): Promise<void> {
    this.#added = true
    const add = this.#call(
      'AddOffsetsToTxn',
      { ...this.#txn, groupId },
      (a) => a.error,
      'Adding offsets to transaction'
    )
    await this.#within(add)
    await this.abort()
  }

  async close(): Promise<void> {
    const closed = new StateError(`The transactional producer "${this.#id}" is closed: open a new one`)
    this.#sender.fail(closed)
    this.#dropping.abort(closed)
    this.#closing.abort(closed)
  }

  /** Nothing is sent meanwhile but what is under way; when it is done, the next transaction can begin. */
  async #end(run: () => Promise<void>): Promise<void> {
    this.#ends++
    this.#sender.hold()
    try {
      await run()
      this.#partitions.clear()
      this.#groups.clear()
      this.#added = false
      this.#sender.touched = false
      if (!this.#closing.signal.aborted) this.#dropping = new AbortController()
    } finally {
      if (--this.#ends === 0) this.#sender.release()
    }
  }

  #within<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work)
    const over = (): void => {
      this.#underWay.delete(work)
    }
    work.then(over, over)
    return work
  }

  async #settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
  }

  async #addPartitions(queues: PartitionQueue[]): Promise<void> {
    this.#added = true // even if the answer is lost: then only EndTxn settles it
    const { signal } = this.#dropping
    const topics = byTopic(queues, (queue) => queue.partition)
    try {
      await this.#call(
        'AddPartitionsToTxn',
        { ...this.#txn, topics },
        (answer) => firstError(answer.topics).code,
        'Adding partitions to transaction'
      )
    } catch (error) {
      if (signal.aborted) return // nobody waits for it any more, and the producer may go on
      throw error
    }
    for (const queue of queues) this.#partitions.add(queue)
  }

  /**
   * Ends the transaction, again and again with the same epoch until an answer comes: harmless, whether the lost request arrived or
   * not. An answer 47 means "fenced" only if no earlier try is in the dark: after a lost one it may equally be that the commit took
   * effect and a successor opened since.
   */
  async #endTxn(commit: boolean): Promise<void> {
    let lost = false
    try {
      await this.#call(
        'EndTxn',
        { ...this.#txn, commit },
        (answer) => answer.error,
        commit ? 'Committing transaction' : 'Aborting transaction',
        this.#closing.signal,
        () => {
          lost = true
        }
      )
    } catch (error) {
      // Nothing is open: the coordinator refused the partitions before a transaction began.
      if (!commit && error instanceof TransportError && error.kafkaCode === Code.INVALID_TXN_STATE) return
      const known = error instanceof TransportError && error.kafkaCode !== undefined && !error.retriable
      const failure = commit && (lost || !known) ? this.#unknownOutcome(error) : (error as Error)
      this.#sender.fail(failure)
      throw failure
    }
  }

  #unknownOutcome(cause: unknown): TransportError {
    return new TransportError(
      `Whether transaction "${this.#id}" was committed is unknown: its answer was lost and repeating did not clear it up. ` +
        'Discard the producer, open the task again and read its committed offsets.',
      'unknown-outcome',
      {
        cause,
        kafkaCode: cause instanceof TransportError ? cause.kafkaCode : undefined,
        details: { transactionalId: this.#id }
      }
    )
  }

  #spent(): StateError {
    return new StateError(
      `A commit of transaction "${this.#id}" was tried and did not succeed; it may have taken effect, so neither abort nor ` +
        'another commit is possible. Discard the producer and open the task again.',
      { cause: this.#sender.failure }
    )
  }

  async #call<A extends ApiName>(
    api: A,
    request: ApiMap[A]['request'],
    code: (answer: ApiMap[A]['response']) => number,
    what: string,
    signal: AbortSignal = this.#dropping.signal,
    onLost?: () => void
  ): Promise<void> {
    await callCoordinator(this.#cluster, this.#lane, {
      kind: 'transaction',
      key: this.#id,
      api,
      request,
      code,
      what: `${what} "${this.#id}"`,
      timeoutMs: this.#timeoutMs,
      signal,
      ...(onLost && { onLost })
    })
  }
}
