/** The transactional producer: output, changelog and consumed offsets of one task, all or nothing. */
import { StateError, TransportError } from '../errors.ts'
import type { Cluster } from './cluster.ts'
import { callCoordinator, firstError } from './coordinatorCall.ts'
import type { PartitionQueue } from './partitionQueue.ts'
import type { GroupMeta, Offset, ProducerOptions, TxnProducer } from './port.ts'
import { checkedBatchBytes } from './producer.ts'
import type { ApiMap, TopicPartitions } from './protocol/api.ts'
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
    timeoutMs: options.timeoutMs
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
      admit: (queues) => this.#addPartitions(queues)
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

  flush(): Promise<void> {
    return this.#sender.flush()
  }

  async sendOffsets(meta: GroupMeta, offsets: Offset[]): Promise<void> {
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
      timeoutMs: this.#timeoutMs
    })
  }

  async commit(): Promise<void> {
    if (this.#commitTried) throw this.#spent()
    await this.#sender.flush()
    if (this.#added) {
      this.#commitTried = true
      await this.#end(true)
      this.#commitTried = false
    }
    this.#clear()
  }

  async abort(): Promise<void> {
    if (this.#commitTried) throw this.#spent()
    await this.#sender.drop()
    if (this.#added) await this.#end(false)
    this.#clear()
  }

  async close(): Promise<void> {
    this.#sender.fail(new StateError(`The transactional producer "${this.#id}" is closed: open a new one`))
  }

  #clear(): void {
    this.#partitions.clear()
    this.#groups.clear()
    this.#added = false
    this.#sender.touched = false
  }

  async #addPartitions(queues: PartitionQueue[]): Promise<void> {
    this.#added = true
    const topics = byTopic(queues, (queue) => queue.partition)
    await this.#call(
      'AddPartitionsToTxn',
      { ...this.#txn, topics },
      (answer) => firstError(answer.topics).code,
      'Adding partitions to transaction'
    )
    for (const queue of queues) this.#partitions.add(queue)
  }

  /**
   * Ends the transaction, again and again with the same epoch until an answer comes: harmless, whether the lost request arrived or
   * not. An answer 47 means "fenced" only if no earlier try is in the dark: after a lost one it may equally be that the commit took
   * effect and a successor opened since.
   */
  async #end(commit: boolean): Promise<void> {
    let lost = false
    try {
      await this.#call(
        'EndTxn',
        { ...this.#txn, commit },
        (answer) => answer.error,
        commit ? 'Committing transaction' : 'Aborting transaction',
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
      ...(onLost && { onLost })
    })
  }
}

/** Groups by topic, in order. */
export function byTopic<T extends { topic: string }, P>(
  items: readonly T[],
  pick: (item: T) => P
): TopicPartitions<P>[] {
  const topics = new Map<string, P[]>()
  for (const item of items) {
    const partitions = topics.get(item.topic)
    if (partitions) partitions.push(pick(item))
    else topics.set(item.topic, [pick(item)])
  }
  return Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
}
