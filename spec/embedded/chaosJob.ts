/** A job as small as can be, by the rules of the port alone: members of a group copy `in` to `out`, one transaction a few records. */
import { MillraceError, type TransportError } from '../../lib/errors.ts'
import type { Assignment, Group, GroupMeta, Member, Reader, Transport, TxnProducer } from '../../lib/kafka/port.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { type Clock, delay, type Random } from '../../lib/time.ts'

export const GROUP = 'job'
export const SESSION_MS = 6_000

export interface JobEnv {
  clock: Clock
  random: Random
  partitions: number
  /** Nothing is done on a whim any more: no aborts, no calls at odd times. */
  calm: () => boolean
  /** An error that no rule of the port foresees. */
  unforeseen: (error: unknown) => unknown
}

/** One process: a membership, a reader, and a task for each partition it has. */
export class Worker {
  readonly tasks = new Map<number, Task>()
  readonly transport: Transport
  readonly #env: JobEnv
  readonly #reader: Reader
  #group: Group | undefined
  #gone = false

  constructor(transport: Transport, env: JobEnv) {
    this.transport = transport
    // Whose connections are taken away has nothing to say about it.
    this.#env = { ...env, unforeseen: (error) => this.#gone || env.unforeseen(error) }
    this.#reader = transport.reader({
      isolation: 'committed',
      lane: 'source',
      maxWaitMs: 100,
      onError: (error) => this.#env.unforeseen(error)
    })
  }

  async start(): Promise<void> {
    const env = this.#env
    const joining = this.transport.group(
      { groupId: GROUP, topics: ['in'], sessionMs: SESSION_MS, rebalanceMs: 10_000, heartbeatMs: 1_000 },
      {
        userData: () => Buffer.alloc(0),
        assign: (members, count) => share(members, count('in')),
        onRebalance: async () => {},
        onRevoked: async (tps) => {
          await Promise.all(tps.map((tp) => this.#drop(tp, true)))
        },
        onAssigned: async (added, all, _, meta) => {
          for (const { partition } of added) {
            const task = new Task(partition, this.transport, this.#reader, env)
            this.tasks.set(partition, task)
          }
          for (const { partition } of all) this.tasks.get(partition)!.renew(meta)
        },
        onLost: async (tps) => {
          await Promise.all(tps.map((tp) => this.#drop(tp, false)))
        },
        onError: (error) => env.unforeseen(error)
      }
    )
    this.#group = await joining.catch((error) => {
      env.unforeseen(error)
      return undefined
    })
  }

  async leave(): Promise<void> {
    this.#gone = true
    await this.#group?.leave()
    await this.transport.close()
  }

  /** As kill -9 looks to the broker: the connections are gone, nothing is said. */
  async crash(): Promise<void> {
    this.#gone = true
    await this.transport.close()
    for (const task of this.tasks.values()) void task.kill()
  }

  async #drop({ partition }: Tp, clean: boolean): Promise<void> {
    const task = this.tasks.get(partition)
    this.tasks.delete(partition)
    await (clean ? task?.finish() : task?.kill())
  }
}

const share = (members: Member[], count: number): Assignment[] =>
  members.map(({ memberId }, i) => ({
    memberId,
    userData: Buffer.alloc(0),
    partitions: Array.from({ length: count }, (_, partition) => ({ topic: 'in', partition })).filter(
      ({ partition }) => partition % members.length === i
    )
  }))

/** Errors after which a task is opened again from what is committed. */
const REOPEN = new Set([
  'fenced',
  'unknown-outcome',
  'stale-member',
  'rebalancing',
  'retriable',
  'unstable',
  'coordinator',
  'metadata'
])

class Task {
  readonly #tp: Tp
  readonly #transport: Transport
  readonly #reader: Reader
  readonly #env: JobEnv
  readonly #done: Promise<void>
  #meta: GroupMeta | undefined
  #queue: { offset: number; value: string }[] = []
  #state: 'running' | 'finishing' | 'killed' = 'running'
  #poke: () => void = () => {}

  constructor(partition: number, transport: Transport, reader: Reader, env: JobEnv) {
    this.#tp = { topic: 'in', partition }
    this.#transport = transport
    this.#reader = reader
    this.#env = env
    this.#done = this.#run().catch((error) => {
      env.unforeseen(error)
    })
  }

  renew(meta: GroupMeta): void {
    this.#meta = meta
    this.#poke()
  }

  /** What is under way is committed, if that is still possible. */
  finish(): Promise<void> {
    if (this.#state === 'running') this.#state = 'finishing'
    this.#poke()
    return this.#done
  }

  kill(): Promise<void> {
    this.#state = 'killed'
    this.#poke()
    return this.#done
  }

  async #run(): Promise<void> {
    const { clock } = this.#env
    while (this.#state === 'running') {
      let producer: TxnProducer | undefined
      try {
        producer = await this.#transport.txnProducer(`job-${this.#tp.partition}`, {
          lane: this.#tp.partition,
          timeoutMs: 30_000
        })
        await this.#work(producer)
      } catch (error) {
        if (!this.#killed && !(error instanceof MillraceError && REOPEN.has((error as TransportError).fault)))
          throw error
      } finally {
        this.#reader.remove(this.#tp)
        await producer?.close()
      }
      if (this.#state === 'running') await delay(clock, 50)
    }
  }

  get #killed(): boolean {
    return this.#state === 'killed'
  }

  async #position(): Promise<number> {
    const key = tpKey('in', this.#tp.partition)
    return (await this.#transport.committed(GROUP, [this.#tp])).get(key)?.offset ?? 0
  }

  #read(offset: number): void {
    const queue: { offset: number; value: string }[] = []
    this.#queue = queue
    this.#reader.add(this.#tp, offset, ({ records }) => {
      for (let i = 0; i < records.count; i++)
        queue.push({ offset: records.offsets[i]!, value: String(records.value(i)) })
      this.#poke()
    })
  }

  async #work(producer: TxnProducer): Promise<void> {
    const { random, calm } = this.#env
    const whim = (p: number): boolean => !calm() && random() < p
    this.#read(await this.#position())
    while (this.#state === 'running') {
      if (this.#queue.length === 0 || this.#meta === undefined) {
        await new Promise<void>((resolve) => {
          this.#poke = resolve
        })
        continue
      }
      const taken = this.#queue.splice(0, 1 + Math.floor(random() * 8))
      for (const { value } of taken) put(producer, Number(value.split(':')[1]) % this.#env.partitions, value)
      if (whim(0.2)) producer.kick()
      if (whim(0.1)) await producer.room(1)
      const offset = taken.at(-1)!.offset + 1
      if (whim(0.15)) {
        // At an odd moment: while requests of the transaction are under way.
        const going = whim(0.5) ? this.#send(producer, offset) : producer.flush()
        going.catch(() => {})
        for (let turns = Math.floor(random() * 6); turns > 0; turns--)
          await delay(this.#env.clock, Math.floor(random() * 10))
        await producer.abort()
        this.#read(await this.#position())
        continue
      }
      if (!(await this.#send(producer, offset))) {
        await producer.abort()
        return
      }
      if (this.#killed) return
      await producer.commit()
    }
  }

  /** False: not ours any more. Refused with old metadata it waits for newer, in the same transaction. */
  async #send(producer: TxnProducer, offset: number): Promise<boolean> {
    for (;;) {
      const meta = this.#meta!
      try {
        await producer.sendOffsets(meta, [{ ...this.#tp, offset }])
        return true
      } catch (error) {
        const fault = (error as TransportError).fault
        if (fault !== 'stale-member' && fault !== 'rebalancing') throw error
        while (this.#meta === meta && this.#state === 'running') {
          await new Promise<void>((resolve) => {
            this.#poke = resolve
          })
        }
        if (this.#meta === meta) return false
      }
    }
  }
}

export function put(producer: Pick<TxnProducer, 'writer'>, partition: number, value: string, topic = 'out'): void {
  const bytes = Buffer.from(value)
  producer.writer(topic, partition).append(1, null, 0, 0, bytes, 0, bytes.length, [])
}
