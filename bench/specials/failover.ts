/** One of two processes is gone without a word: how long the partitions that it worked on have no output, with and without a standby. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Producer, Transport } from '../../lib/kafka/port.ts'
import type { Guarantee } from '../../lib/task/port.ts'
import { delay, stopwatch, systemClock } from '../../lib/time.ts'
import { type Expected, LastLongs } from '../harness/expected.ts'
import { type Running, start } from '../harness/run.ts'
import { ends, fill, putter, untilCommitted, verify } from '../harness/topics.ts'
import { type BenchOptions, PARTITIONS, type Put, type Side } from '../harness/types.ts'
import { keyOf, order, START, scattered } from '../workloads/data.ts'
import { byTurns, endless } from './runs.ts'
import type { Special } from './types.ts'

const KEYS = 1_000_000
/** A prime: its multiples visit every key once. */
const STRIDE = 7_919
/** The shortest that a broker takes by default: after so long without a heartbeat the group knows. */
const SESSION_MS = 6_000
const COMMIT_MS = 100
const PER_SECOND = 1_000
const EVERY_MS = 10
/** Before the blow, so that standbys are level; without a silence of a second for so long everything is mended. */
const STEADY_MS = 10_000
const CALM_MS = 4_000
const SILENT_MS = 1_000
const GIVE_UP_MS = 180_000

export const failover: Special = {
  name: 'failover',
  about:
    `kill -9 of one of two processes that count ${KEYS.toLocaleString('en')} keys (--records when that is less): the longest time that a partition has no committed output, ` +
    `the session time-out of ${SESSION_MS / 1_000} s included (heartbeats every third, commits every ${COMMIT_MS} ms on every side)`,
  run(transport, options) {
    const what = { name: 'failover', unit: 'ms', workload: 'count-large' } as const
    return byTurns(transport, options, what, async (side, guarantee, prefix) => ({
      'no standby': await outage(transport, options, { side, guarantee, prefix: `${prefix}-0`, standbys: 0 }),
      '1 standby': await outage(transport, options, { side, guarantee, prefix: `${prefix}-1`, standbys: 1 })
    }))
  }
}

interface Wish {
  readonly side: Side
  readonly guarantee: Guarantee
  readonly prefix: string
  readonly standbys: number
}

async function outage(transport: Transport, options: BenchOptions, wish: Wish): Promise<number> {
  const { side, guarantee, standbys } = wish
  const keys = Math.min(KEYS, options.records)
  const job = await endless(transport, options, { ...wish, workload: 'count-large' })
  const stateDir = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const share = { ...job, tasks: PARTITIONS / 2, standbys, sessionMs: SESSION_MS, commitMs: COMMIT_MS }
  const victim = await start(side, { ...share, stateDir: join(stateDir, 'one') })
  const survivor = await start(side, { ...share, stateDir: join(stateDir, 'two') })
  const story = async (): Promise<number> => {
    // State begins empty, so that all sides share the tasks at once.
    await Promise.race([Promise.all([victim.ready, survivor.ready]), victim.early])
    const counts = new LastLongs()
    const every = {
      data(records: number, put: Put): LastLongs {
        for (let i = 0; i < records; i++) count(counts, put, i, (i * STRIDE) % keys)
        return counts
      }
    }
    await fill(transport, every, job.inputs, keys)
    await untilCommitted(transport, { ...job, records: keys })
    const producer = await transport.producer({ lane: 1 })
    const load = new Load(producer, putter(producer, job.input), counts, keys)
    const silences = await Silences.of(transport, job.output)
    await delay(systemClock, STEADY_MS)
    const longest = await blow(victim, silences)
    const records = keys + (await load.stop())
    await untilCommitted(transport, { ...job, records })
    await silences.close()
    await verify(transport, job.output, guarantee === 'exactly-once' ? counts : atLeast(counts))
    return longest
  }
  try {
    return await Promise.race([story(), survivor.early])
  } finally {
    await victim.kill()
    await survivor.stop()
    await rm(stateDir, { recursive: true, force: true })
  }
}

async function blow(victim: Running, silences: Silences): Promise<number> {
  const struck = silences.begin()
  await victim.kill()
  while (!silences.over) {
    if (stopwatch() - struck > GIVE_UP_MS) throw new Error(`A partition has no output for ${silences.longest} ms`)
    await delay(systemClock, EVERY_MS)
  }
  if (silences.longest < SESSION_MS / 2) throw new Error('The process that was killed had no work')
  return silences.longest
}

const count = (counts: LastLongs, put: Put, i: number, key: number): void => {
  put(0, START + i, keyOf(key), order(i, 1))
  counts.add(String(key), 1)
}

/** Input at a steady pace. */
class Load {
  #stopped = false
  readonly #running: Promise<number>

  constructor(producer: Producer, put: ReturnType<typeof putter>, counts: LastLongs, keys: number) {
    this.#running = this.#run(producer, put, counts, keys)
    this.#running.catch(() => {}) // told by stop
  }

  /** @returns how many records it was */
  stop(): Promise<number> {
    this.#stopped = true
    return this.#running
  }

  async #run(producer: Producer, put: ReturnType<typeof putter>, counts: LastLongs, keys: number): Promise<number> {
    const began = stopwatch()
    let n = 0
    while (!this.#stopped) {
      const due = Math.floor(((stopwatch() - began) / 1_000) * PER_SECOND)
      for (; n < due; n++) count(counts, (_input, ...record) => put(...record), keys + n, scattered(n, keys))
      producer.kick()
      await delay(systemClock, EVERY_MS)
    }
    await producer.flush()
    await producer.close()
    return n
  }
}

/** How long each partition of a topic has nothing new for a committed reader. */
class Silences {
  readonly #last: number[] = new Array(PARTITIONS).fill(stopwatch())
  /** When the last silence worth the name ended. */
  readonly #mended: number[] = new Array(PARTITIONS).fill(stopwatch())
  #struck = 0
  #longest = 0
  close: () => Promise<void> = async () => {}

  static async of(transport: Transport, topic: string): Promise<Silences> {
    const silences = new Silences()
    const from = await ends(transport, topic)
    const reader = transport.reader({
      isolation: 'committed',
      lane: 'source',
      onError: (error) => {
        throw error
      }
    })
    for (const [partition, offset] of from.entries()) {
      reader.add({ topic, partition }, offset, ({ records }) => records.count > 0 && silences.#heard(partition))
    }
    silences.close = () => reader.close()
    return silences
  }

  /** From now on they count. @returns now */
  begin(): number {
    this.#longest = 0
    this.#struck = stopwatch()
    return this.#struck
  }

  /** Of those that have ended, ms. */
  get longest(): number {
    return this.#longest
  }

  /** The group has noticed, and no partition is silent or was of late. */
  get over(): boolean {
    const now = stopwatch()
    return (
      now - this.#struck > SESSION_MS + CALM_MS &&
      this.#last.every((at) => now - at < SILENT_MS) &&
      this.#mended.every((at) => now - at > CALM_MS)
    )
  }

  #heard(partition: number): void {
    const now = stopwatch()
    const silence = now - this.#last[partition]!
    this.#last[partition] = now
    this.#longest = Math.max(this.#longest, silence)
    if (silence > SILENT_MS) this.#mended[partition] = now
  }
}

/** A crash may make an at-least-once job count again what was not committed, and no less. */
const atLeast = ({ values }: LastLongs): Expected => ({
  check() {
    const found = new Map<string, number>()
    return {
      take: (_partition, _timestamp, key, value) =>
        void found.set(key!.toString('latin1'), Number(value!.readBigInt64BE())),
      verdict() {
        for (const [key, least] of values) {
          if ((found.get(key) ?? 0) < least) return `${key} ends with ${found.get(key)} instead of ${least} or more`
        }
        return undefined
      }
    }
  }
})
