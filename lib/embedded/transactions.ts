/**
 * The transaction coordinator: epochs, which partitions and groups a transaction touches, its end, its time-out.
 *
 *            add                    EndTxn                     markers written
 *   empty ────────▶ ongoing ──────────────────▶ prepare-x ────────────────────▶ complete-x ──add──▶ ongoing …
 *                      └── time-out, or InitProducerId of a successor: epoch + 1, prepare-abort
 */
import type { ApiMap, TopicPartitions } from '../kafka/protocol/api.ts'
import { Code } from '../kafka/protocol/errors.ts'
import { tpKey } from '../record.ts'
import type { StoredBatch } from './batch.ts'
import type { Groups } from './groups.ts'
import type { Timer, Timers } from './timers.ts'
import type { Topics } from './topics.ts'

/** Epochs from here on are not given out: the next owner gets a new producer id. */
const LAST_EPOCH = 32_766

type State = 'empty' | 'ongoing' | 'prepare-commit' | 'prepare-abort' | 'complete-commit' | 'complete-abort'

interface Transaction {
  producerId: number
  epoch: number
  timeoutMs: number
  state: State
  partitions: Map<string, { topic: string; partition: number }>
  groups: Set<string>
  timer: Timer | undefined
}

interface Owner {
  transactionalId: string
  producerId: number
  producerEpoch: number
}

export interface TransactionOptions {
  maxTimeoutMs: number
  /** How long after EndTxn the markers stand in the logs; until then the next request is answered CONCURRENT_TRANSACTIONS. */
  markerDelayMs: number
}

export class Transactions {
  readonly #byId = new Map<string, Transaction>()
  readonly #topics: Topics
  readonly #groups: Groups
  readonly #timers: Timers
  readonly #options: TransactionOptions
  #nextProducerId = 1

  constructor(topics: Topics, groups: Groups, timers: Timers, options: TransactionOptions) {
    this.#topics = topics
    this.#groups = groups
    this.#timers = timers
    this.#options = options
  }

  init(request: ApiMap['InitProducerId']['request']): ApiMap['InitProducerId']['response'] {
    const { transactionalId: id, timeoutMs } = request
    const failed = (error: number) => ({ error, producerId: -1, producerEpoch: -1 })
    if (id === null) return { error: Code.NONE, producerId: this.#nextProducerId++, producerEpoch: 0 }
    if (id === '') return failed(Code.INVALID_REQUEST)
    if (timeoutMs <= 0 || timeoutMs > this.#options.maxTimeoutMs) return failed(Code.INVALID_TRANSACTION_TIMEOUT)
    let txn = this.#byId.get(id)
    if (!txn) {
      const producerId = this.#nextProducerId++
      txn = {
        producerId,
        epoch: -1,
        timeoutMs,
        state: 'empty',
        partitions: new Map(),
        groups: new Set(),
        timer: undefined
      }
      this.#byId.set(id, txn)
    }
    if (txn.state === 'prepare-commit' || txn.state === 'prepare-abort') return failed(Code.CONCURRENT_TRANSACTIONS)
    if (txn.state === 'ongoing') {
      this.#fence(txn)
      return failed(Code.CONCURRENT_TRANSACTIONS) // the caller comes again when the predecessor is settled
    }
    if (txn.epoch >= LAST_EPOCH) {
      txn.producerId = this.#nextProducerId++
      txn.epoch = -1
    }
    txn.epoch++
    txn.timeoutMs = timeoutMs
    txn.state = 'empty'
    return { error: Code.NONE, producerId: txn.producerId, producerEpoch: txn.epoch }
  }

  addPartitions(owner: Owner, topics: readonly TopicPartitions<number>[]): ApiMap['AddPartitionsToTxn']['response'] {
    const unknown = topics.some((t) => t.partitions.some((p) => !this.#topics.log(t.topic, p)))
    const txn = this.#owned(owner)
    const error = typeof txn === 'number' ? txn : busy(txn)
    if (typeof txn !== 'number' && error === Code.NONE && !unknown) {
      this.#begin(txn)
      for (const { topic, partitions } of topics) {
        for (const partition of partitions) txn.partitions.set(tpKey(topic, partition), { topic, partition })
      }
    }
    const judge = (topic: string, partition: number): number => {
      if (!unknown) return error
      return this.#topics.log(topic, partition) ? Code.OPERATION_NOT_ATTEMPTED : Code.UNKNOWN_TOPIC_OR_PARTITION
    }
    return {
      topics: topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map((partition) => ({ partition, error: judge(topic, partition) }))
      }))
    }
  }

  addOffsets(owner: Owner, groupId: string): number {
    if (groupId === '') return Code.INVALID_GROUP_ID
    const txn = this.#owned(owner)
    if (typeof txn === 'number') return txn
    const error = busy(txn)
    if (error !== Code.NONE) return error
    this.#begin(txn)
    txn.groups.add(groupId)
    return Code.NONE
  }

  /** Whether the owner may write `batch` to the partition. */
  verifyBatch(transactionalId: string | null, batch: StoredBatch, topic: string, partition: number): number {
    if (transactionalId === null) return Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    const { producerId, producerEpoch } = batch
    return this.#verify({ transactionalId, producerId, producerEpoch }, (t) =>
      t.partitions.has(tpKey(topic, partition))
    )
  }

  /** Whether the owner may stage offsets of the group. */
  verifyGroup(owner: Owner, groupId: string): number {
    return this.#verify(owner, (txn) => txn.groups.has(groupId))
  }

  end(owner: Owner, commit: boolean): number {
    const txn = this.#owned(owner)
    if (typeof txn === 'number') return txn
    switch (txn.state) {
      case 'ongoing':
        this.#prepare(txn, commit)
        return Code.NONE
      case 'complete-commit': // a repeat, because the first answer was lost
        return commit ? Code.NONE : Code.INVALID_TXN_STATE
      case 'complete-abort':
        return commit ? Code.INVALID_TXN_STATE : Code.NONE
      case 'prepare-commit':
        return commit ? Code.CONCURRENT_TRANSACTIONS : Code.INVALID_TXN_STATE
      case 'prepare-abort':
        return commit ? Code.INVALID_TXN_STATE : Code.CONCURRENT_TRANSACTIONS
      case 'empty':
        return Code.INVALID_TXN_STATE
    }
  }

  #owned({ transactionalId, producerId, producerEpoch }: Owner): Transaction | number {
    const txn = this.#byId.get(transactionalId)
    if (!txn || txn.producerId !== producerId) return Code.INVALID_PRODUCER_ID_MAPPING
    return txn.epoch === producerEpoch ? txn : Code.INVALID_PRODUCER_EPOCH
  }

  #verify(owner: Owner, touches: (txn: Transaction) => boolean): number {
    const txn = this.#owned(owner)
    if (typeof txn === 'number') return txn
    const error = busy(txn)
    if (error !== Code.NONE) return error
    return txn.state === 'ongoing' && touches(txn) ? Code.NONE : Code.INVALID_TXN_STATE
  }

  #begin(txn: Transaction): void {
    if (txn.state === 'ongoing') return
    txn.state = 'ongoing'
    txn.timer = this.#timers.after(txn.timeoutMs, () => this.#fence(txn))
  }

  /** From here on the old epoch is refused everywhere. */
  #fence(txn: Transaction): void {
    txn.epoch++
    this.#prepare(txn, false)
  }

  #prepare(txn: Transaction, commit: boolean): void {
    this.#timers.cancel(txn.timer)
    txn.state = commit ? 'prepare-commit' : 'prepare-abort'
    if (this.#options.markerDelayMs <= 0) this.#complete(txn, commit)
    else txn.timer = this.#timers.after(this.#options.markerDelayMs, () => this.#complete(txn, commit))
  }

  #complete(txn: Transaction, commit: boolean): void {
    txn.timer = undefined
    txn.state = commit ? 'complete-commit' : 'complete-abort'
    const partitions = [...txn.partitions.values()]
    const groups = [...txn.groups]
    txn.partitions.clear()
    txn.groups.clear()
    // Offsets first: whoever is woken by the markers in the logs already finds them stable.
    for (const groupId of groups) this.#groups.offsets(groupId)?.end(txn.producerId, commit)
    const now = this.#timers.clock.now()
    for (const { topic, partition } of partitions) {
      this.#topics.log(topic, partition)?.end(txn.producerId, txn.epoch, commit, now)
    }
  }
}

const busy = (txn: Transaction): number =>
  txn.state === 'prepare-commit' || txn.state === 'prepare-abort' ? Code.CONCURRENT_TRANSACTIONS : Code.NONE
