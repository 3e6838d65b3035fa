/** A process that dies at any point of a commit, of a clean close or of a restore: its directory then gives what an empty one is restored with. */
import { expect } from 'chai'
import { RecordSet } from '../../../lib/record.ts'
import { databaseDriver } from '../../../lib/store/drivers.ts'
import type { JoinStore } from '../../../lib/store/join/joinStore.ts'
import type { Database } from '../../../lib/store/port.ts'
import type { TaskState } from '../../../lib/store/taskState.ts'
import { seededRandom } from '../../../lib/time.ts'
import { joinSpec, look, put, RETENTION, rowsOnDisk, SIZE } from '../../cases/joinKit.ts'
import { openState, temporary } from '../../cases/storeKit.ts'

const KEYS = 8
const driver = databaseDriver('rocksdb-native')

interface Logged {
  readonly offset: number
  readonly key: Buffer
  readonly value: Buffer | null
  readonly time: number
}

type Random = (below: number) => number

/** What a broker's cleaner may leave of a log: of each key the last record; those behind `whole` are not looked at. */
function compacted(log: readonly Logged[], whole: number): Logged[] {
  const last = new Map(log.map((record) => [record.key.toString('latin1'), record.offset]))
  return log.filter(({ key, offset }) => offset >= whole || last.get(key.toString('latin1')) === offset)
}

function setOf(records: readonly Logged[]): RecordSet {
  const bytes = Buffer.concat(records.flatMap(({ key, value }) => [key, value ?? Buffer.alloc(0)]))
  const set = new RecordSet(bytes, records.length)
  let at = 0
  for (const [i, { offset, key, value, time }] of records.entries()) {
    set.offsets[i] = offset
    set.timestamps[i] = time
    set.keyStart[i] = at
    at += key.length
    set.keyEnd[i] = set.valueStart[i] = at
    at += value?.length ?? 0
    set.valueEnd[i] = value === null ? -1 : at
    set.headersAt[i] = -1
  }
  set.count = records.length
  return set
}

class Life {
  readonly log: Logged[]
  readonly #state: TaskState
  readonly store: JoinStore<string>

  private constructor(state: TaskState, log: readonly Logged[]) {
    this.#state = state
    this.store = state.store('seen') as unknown as JoinStore<string>
    this.log = [...log]
  }

  /** Restores in pieces, as a standby or a task does; and may die between them, and begin again. */
  static async open(
    directory: string,
    cacheBytes: number,
    log: readonly Logged[],
    time: number,
    random: Random
  ): Promise<Life> {
    for (;;) {
      const state = await openState(directory, driver, [joinSpec as never], { cacheBytes })
      const life = new Life(state, log)
      const end = log.length === 0 ? 0 : log.at(-1)!.offset + 1
      const from = state.position('seen')?.next ?? 0
      expect(from).to.be.at.most(end)
      const tail = compacted(log, random(end + 1)).filter(({ offset }) => offset >= from)
      let died = false
      for (let at = 0; at < tail.length && !died; ) {
        const to = Math.min(tail.length, at + 1 + random(6))
        const sets = [setOf(tail.slice(at, to))]
        const next = to < tail.length ? tail[to]!.offset : end
        await state.restoreBatch([{ store: 'seen', sets, next }])
        at = to
        died = random(40) === 0
      }
      if (died) {
        await state.close()
        continue
      }
      await state.restoreBatch([{ store: 'seen', sets: [], next: end }])
      life.store.resume(time)
      await life.store.load()
      return life
    }
  }

  put(key: string, time: number, value: string): Promise<void> {
    return put(this.store, key, time, value)
  }

  async flush(atomic: boolean): Promise<void> {
    await this.store.cut(atomic)
    while (this.store.dirty) {
      await this.store.flush((key, value, time) => {
        this.log.push({ offset: this.end, key: Buffer.from(key), value: value && Buffer.from(value), time })
      })
    }
  }

  get end(): number {
    return this.log.length === 0 ? 0 : this.log.at(-1)!.offset + 1
  }

  persist(): Promise<void> {
    return this.#state.commit(new Map([['seen', this.end]]))
  }

  settle(): Promise<void> {
    return this.#state.touch()
  }

  /** From now on the database takes so many writes, and then no more. */
  dieAfter(writes: number): void {
    const { database } = this.store as unknown as { database: Database }
    const original = database.write.bind(database)
    let left = writes
    database.write = (fill) => (left-- > 0 ? original(fill) : Promise.reject(new Error('the process is gone')))
  }

  close(): Promise<void> {
    return this.#state.close()
  }

  look(key: string, from: number, to: number): Promise<string[]> {
    return look(this.store, key, from, to)
  }

  async all(time: number): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>()
    const from = Math.max(0, time - RETENTION + SIZE)
    for (let k = 0; k < KEYS; k++) found.set(`k${k}`, await this.look(`k${k}`, from, time + 100))
    return found
  }

  onDisk(): Promise<number> {
    return rowsOnDisk(this.store)
  }
}

describe('a join whose process dies', function () {
  this.timeout(120_000)

  for (const atomic of [true, false]) {
    const guarantee = atomic ? 'exactly-once' : 'at-least-once'
    for (const cacheBytes of [1 << 30, 9_000, 1]) {
      it(`finds in its directory what an empty one is restored with, ${guarantee}, with caches of ${cacheBytes} bytes`, () =>
        temporary(async (directory) => {
          for (let run = 0; run < Number(process.env.RUNS ?? 2); run++) {
            const seeded = seededRandom(run * 7 + cacheBytes)
            const random: Random = (below) => Math.floor(seeded() * below)
            const home = `${directory}-${run}`
            let life = await Life.open(home, cacheBytes, [], -1, random)
            let now = 0
            let [through, throughEnd] = [-1, 0] // as of the last commit
            const committed: { key: string; time: number; value: string }[] = []
            let open: typeof committed = []
            for (let i = 0; i < 500; i++) {
              now += random(3)
              const time = Math.max(0, now - (random(4) === 0 ? random(RETENTION - 2 * SIZE) : 0))
              const key = `k${random(KEYS)}`
              const value = `v${i}`.padEnd(random(5) === 0 ? 300 : 4, '.')
              await life.put(key, time, value)
              life.store.observe(now)
              open.push({ key, time, value })
              const what = random(180)
              if (what >= 36) continue
              await life.flush(atomic)
              if (what < 8) continue // refused by the group: the next one takes it along
              let died = 'no'
              if (what < 32) {
                await life.persist()
                ;[through, throughEnd] = [now, life.end]
                committed.push(...open)
                open = []
                if (what < 29) continue
                died = 'committed'
                if (what === 29) {
                  died = 'settled'
                  await life.settle()
                } else if (what === 30) {
                  died = 'settling'
                  life.dieAfter(random(3))
                  await life.settle().catch(() => {})
                }
              } else if (what < 34) {
                died = 'persisting'
                life.dieAfter(0)
                const failure = await life.persist().catch((error: Error) => error)
                expect(failure).to.be.instanceOf(Error)
                // The log has the commit.
                if (atomic) {
                  ;[through, throughEnd] = [now, life.end]
                  committed.push(...open)
                  open = []
                }
              } else died = 'flushed'
              await life.close()
              const whole = life.log
              const left = atomic ? 0 : random(whole.filter(({ offset }) => offset >= throughEnd).length + 1)
              const log = [
                ...whole.filter(({ offset }) => offset < throughEnd),
                ...whole.filter(({ offset }) => offset >= throughEnd).slice(0, left)
              ]
              const about = `run ${run}, put ${i}, died ${died}, ${left} records of the last commit`
              const other = await Life.open(`${directory}-${run}-${i}`, 1 << 30, log, through, random)
              life = await Life.open(home, cacheBytes, log, through, random)
              const found = await life.all(through)
              const restored = await other.all(through)
              await other.close()
              const sorted = (all: Map<string, string[]>) =>
                [...all].map(([k, values]) => [k, atomic ? values : [...values].sort()])
              expect(sorted(found), about).to.eql(sorted(restored))
              const from = Math.max(0, through - RETENTION + SIZE)
              for (let k = 0; k < KEYS; k++) {
                const mine = committed.filter((e) => e.key === `k${k}` && e.time >= from).map((e) => e.value)
                expect(found.get(`k${k}`), `${about}, k${k}`).to.include.members(mine)
                if (atomic) expect(found.get(`k${k}`), `${about}, k${k}`).to.have.members(mine)
              }
              open = []
              now = Math.max(now, through)
              ;[throughEnd] = [life.end]
            }
            await life.flush(atomic)
            await life.persist()
            for (const time of [10_000, 20_000, 30_000]) {
              life.store.observe(time)
              for (let n = 0; n < 2; n++) {
                await life.flush(atomic)
                await life.persist()
              }
            }
            const rest = compacted(life.log, life.end).filter(({ value }) => value !== null)
            expect([rest.length, await life.onDisk()], `run ${run}`).to.eql([0, 0])
            await life.settle()
            await life.close()
          }
        }))
    }
  }
})
