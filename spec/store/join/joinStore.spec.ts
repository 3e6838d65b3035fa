/** The store of a join: blocks in memory and in the log, rows under pressure, and nothing lost or doubled between the two. */
import { expect } from 'chai'
import { DecodeError, EncodeError } from '../../../lib/errors.ts'
import { databaseDriver } from '../../../lib/store/drivers.ts'
import { entriesSerde } from '../../../lib/store/join/entries.ts'
import type { JoinStore } from '../../../lib/store/join/joinStore.ts'
import type { Database } from '../../../lib/store/port.ts'
import type { TaskState } from '../../../lib/store/taskState.ts'
import { seededRandom, VirtualClock } from '../../../lib/time.ts'
import { joinSpec, look, put, rowsOnDisk, SIZE } from '../../cases/joinKit.ts'
import { openState, temporary, text } from '../../cases/storeKit.ts'

const driver = databaseDriver('memory')
const native = databaseDriver('rocksdb-native')

type Logged = readonly [key: Buffer, value: Buffer | null, time: number]

/** A state with its changelog. */
class Subject {
  readonly log: Logged[] = []
  readonly state: TaskState
  readonly store: JoinStore<string>

  private constructor(state: TaskState) {
    this.state = state
    this.store = state.store('seen') as unknown as JoinStore<string>
  }

  /** @param log what its changelog holds already: of it is restored what the directory does not have */
  static async open(
    directory: string,
    cacheBytes = 1 << 30,
    log: readonly Logged[] = [],
    of = joinSpec,
    by = driver,
    now = 1_000
  ): Promise<Subject> {
    const clock = new VirtualClock(now)
    const subject = new Subject(await openState(directory, by, [of as never], { cacheBytes, clock }))
    await subject.restore(log.slice(subject.reached))
    subject.log.push(...log)
    await subject.store.load()
    return subject
  }

  async restore(log: readonly Logged[]): Promise<void> {
    const { database } = this.store as unknown as {
      database: { write(fill: (batch: never) => void): Promise<void> }
    }
    await database.write((batch) => {
      for (const [key, value, time] of log) this.store.restore(batch, key, value, time)
    })
  }

  /** How far its database goes with the changelog. */
  get reached(): number {
    return this.state.position('seen')?.next ?? 0
  }

  put(key: string, time: number, value: string): Promise<void> {
    return put(this.store, key, time, value)
  }

  async commit(): Promise<void> {
    this.flush()
    await this.state.commit(new Map([['seen', this.log.length]]))
  }

  flush(): void {
    this.store.flush((key, value, time) => {
      this.log.push([Buffer.from(key), value && Buffer.from(value), time])
    })
  }

  look(key: string, from: number, to: number): Promise<string[]> {
    return look(this.store, key, from, to)
  }

  onDisk(): Promise<number> {
    return rowsOnDisk(this.store)
  }
}

/** Tells the bytes of each write to the database before it goes there. */
function watchWrites(subject: Subject, write: (bytes: number) => void): void {
  const { database } = subject.store as unknown as { database: Database }
  const original = database.write.bind(database)
  database.write = (fill) =>
    original((batch) => {
      let size = 0
      fill({
        put(key, bytes) {
          size += bytes.length
          batch.put(key, bytes)
        },
        putRow: (...row) => batch.putRow(...row),
        delete: (key) => batch.delete(key),
        deleteRange: (from, to) => batch.deleteRange(from, to)
      })
      write(size)
    })
}

describe('the store of a join', () => {
  it('writes what a commit has added as one record of the changelog, however many keys, and one row at a clean close', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory, 1 << 30, [], joinSpec, native)
      for (let i = 0; i < 1_000; i++) await subject.put(`k${i}`, 5, `v${i}`)
      await subject.commit()
      expect(subject.log).to.have.length(3, 'blocks begin at 4 KiB and double')
      expect([await subject.onDisk(), subject.reached]).to.eql([0, 0])
      await subject.put('k7', 6, 'second')
      await subject.commit()
      expect(subject.log).to.have.length(4)
      expect(subject.log[3]![1]!.length, 'the first value is not written again').to.be.lessThan(40)
      expect(await subject.look('k7', 0, 9)).to.eql(['v7', 'second'])
      await subject.state.touch()
      expect([await subject.onDisk(), subject.reached]).to.eql([4, 4])
      await subject.state.close()
    }))

  it('writes rows at each commit when it has no changelog', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory, 1 << 30, [], joinSpec, native)
      await subject.put('k', 5, 'value')
      await subject.store.flush(undefined)
      await subject.state.commit(new Map())
      await subject.state.close()
      const after = await Subject.open(directory, 1 << 30, [], joinSpec, native)
      expect(await after.look('k', 0, 9)).to.eql(['value'])
      await after.state.close()
    }))

  it('keeps its position before the oldest block that is in memory alone, until that is past retention and has its tombstone', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory, 1 << 30, [], joinSpec, native)
      const reached: number[] = []
      for (const time of [5, 15, 25, 35]) {
        await subject.put('k', time, `v${time}`)
        await subject.commit()
        reached.push(subject.reached)
      }
      subject.store.observe(45) // the first bucket leaves the memory
      await subject.commit()
      reached.push(subject.reached)
      await subject.store.expire(45)
      await subject.commit()
      reached.push(subject.reached)
      expect(reached).to.eql([0, 0, 0, 0, 0, 1])
      await subject.state.close()
      const after = await Subject.open(directory, 1 << 30, subject.log, joinSpec, native)
      expect(await after.look('k', 0, 40)).to.eql(['v15', 'v25', 'v35'])
      await after.state.close()
    }))

  it('takes a value larger than a block, a key of any length, and an empty value', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory)
      const [large, long] = ['x'.repeat(400_000), 'k'.repeat(300)]
      await subject.put('a', 1, large)
      await subject.put(long, 2, '')
      await subject.commit()
      const again = await Subject.open(`${directory}-2`, 1 << 30, subject.log)
      expect(await again.look('a', 0, 9)).to.eql([large])
      expect(await again.look(long, 0, 9)).to.eql([''])
      await Promise.all([subject.state.close(), again.state.close()])
    }))

  it('names the key of a value that does not encode, and of one that does not decode when its bucket becomes rows', () =>
    temporary(async (directory) => {
      const fail = (): never => {
        throw new Error('not mine')
      }
      const picky = {
        ...text,
        encode: (value: string) => (value === 'bad' ? fail() : text.encode(value)),
        decode: fail
      }
      const subject = await Subject.open(directory, 1, [], { ...joinSpec, value: entriesSerde(picky) as never })
      expect(() => subject.store.putValue(0, 'k7', 1, false, 'bad')).to.throw(EncodeError, 'key "k7"')
      subject.store.putValue(0, 'k8', 1, false, 'good')
      expect(() => subject.flush()).to.throw(DecodeError, 'key "k8"')
      await subject.state.close()
    }))

  it('loses and doubles nothing when a crash comes at any point of a spill, in the middle of rows and tombstones', () =>
    temporary(async (directory) => {
      const whole = await Subject.open(`${directory}-b`)
      for (let i = 0; i < 6; i++) await whole.put(`k${i % 4}`, i, `v${i}`)
      await whole.commit()
      const blocks = whole.log.length
      await whole.state.close()
      // The same changelog under pressure: blocks first, then rows and tombstones of the spill.
      const pressed = await Subject.open(`${directory}-c`, 1, whole.log)
      pressed.flush()
      await pressed.state.commit(new Map())
      expect(pressed.store.spilled(0)).to.equal(true)
      expect(pressed.log.length).to.equal(blocks + 4 + blocks, 'four rows, and a tombstone for each block')
      await pressed.state.close()
      for (let cut = blocks; cut <= pressed.log.length; cut++) {
        const after = await Subject.open(`${directory}-cut${cut}`, 1 << 30, pressed.log.slice(0, cut))
        expect(await after.look('k0', 0, 9), `k0 with ${cut} records`).to.eql(['v0', 'v4'])
        expect(await after.look('k1', 0, 9), `k1 with ${cut} records`).to.eql(['v1', 'v5'])
        expect(await after.look('k3', 0, 9), `k3 with ${cut} records`).to.eql(['v3'])
        await after.commit()
        expect(await after.look('k0', 0, 9)).to.eql(['v0', 'v4'])
        await after.state.close()
      }
    }))

  it('writes its blocks in pieces at a clean close, and loses and doubles nothing when a crash comes between them', () =>
    temporary(async (directory) => {
      const value = 'v'.repeat(200_000)
      const all = Array.from({ length: 12 }, (_, i) => `${value}${i}`)
      let pieces = 1
      for (let crashAt = 0; crashAt <= pieces; crashAt++) {
        const at = `${directory}-${crashAt}`
        const subject = await Subject.open(at, 1 << 30, [], joinSpec, native)
        for (let i = 0; i < all.length; i++) await subject.put('k', 3 * i, all[i]!)
        await subject.commit()
        const sizes: number[] = []
        watchWrites(subject, (size) => {
          if (sizes.length === crashAt && crashAt > 0 && crashAt < pieces) throw new Error('the process is gone')
          sizes.push(size)
        })
        const failure = await subject.state.touch().catch((error: Error) => error)
        expect(failure instanceof Error, `at ${crashAt}`).to.equal(crashAt > 0 && crashAt < pieces)
        if (crashAt === 0) pieces = sizes.length
        expect(pieces).to.be.greaterThan(4)
        expect(Math.max(...sizes)).to.be.below(1 << 20)
        await subject.state.close()
        const after = await Subject.open(at, 1 << 30, subject.log, joinSpec, native)
        expect((await after.look('k', 0, 39)).map((v) => v.slice(-2))).to.eql(all.map((v) => v.slice(-2)))
        await after.state.close()
      }
    }))

  it('loses nothing of a successor to blocks that its predecessor wrote late: at-least-once nobody fences it', () =>
    temporary(async (directory) => {
      const first = await Subject.open(`${directory}-a`)
      await first.put('k', 1, 'before')
      await first.commit()
      const shared = [...first.log]
      const second = await Subject.open(`${directory}-b`, 1 << 30, shared)
      await second.put('k', 2, 'mine')
      await second.put('k', 3, 'mine, too')
      await second.commit()
      await first.put('k', 2, 'late') // it was stopped for a minute, and has not heard yet that it was replaced
      await first.commit()
      const log = [...second.log, ...first.log.slice(shared.length)]
      const third = await Subject.open(`${directory}-c`, 1 << 30, log)
      expect(await third.look('k', 0, 9)).to.have.members(['before', 'mine', 'late', 'mine, too'])
      await third.store.expire(10_000)
      await third.commit()
      const compacted = new Map(third.log.map(([key, value]) => [key.toString('hex'), value]))
      expect([...compacted.values()].filter((value) => value !== null)).to.eql([])
      await Promise.all([first.state.close(), second.state.close(), third.state.close()])
    }))

  it('numbers its blocks apart from those of a predecessor of which the log has nothing yet', () =>
    temporary(async (directory) => {
      const first = await Subject.open(`${directory}-a`, 1 << 30, [], joinSpec, driver, 1_000)
      const second = await Subject.open(`${directory}-b`, 1 << 30, [], joinSpec, native, 11_000)
      await second.put('k', 2, 'mine')
      await second.commit()
      await first.put('k', 2, 'late') // it was stopped before its first commit, and has not heard yet that it was replaced
      first.flush()
      const log = [...second.log, ...first.log]
      await Promise.all([first.state.close(), second.state.close()])
      const third = await Subject.open(`${directory}-b`, 1 << 30, log, joinSpec, native, 12_000)
      expect(await third.look('k', 0, 9)).to.have.members(['mine', 'late'])
      await third.state.close()
    }))

  it('loses and doubles nothing of a successor to a bucket that its predecessor made into rows late', () =>
    temporary(async (directory) => {
      for (const lost of ['the process', 'its directory']) {
        const at = `${directory}-${lost}`
        const first = await Subject.open(`${at}-a`, 1, [], joinSpec, native)
        const second = await Subject.open(`${at}-b`, 1 << 30, [], joinSpec, native, 11_000)
        await first.put('k', 2, 'late')
        await second.put('k', 1, 'mine')
        await second.put('k', 2, 'late') // the record comes again
        await second.put('l', 3, 'mine, too')
        await second.commit()
        first.flush()
        expect(first.store.spilled(0)).to.equal(true)
        const log = [...second.log, ...first.log]
        await Promise.all([first.state.close(), second.state.close()])
        const third = await Subject.open(
          lost === 'the process' ? `${at}-b` : `${at}-c`,
          1 << 30,
          log,
          joinSpec,
          native,
          12_000
        )
        expect(await third.look('k', 0, 9)).to.eql(['mine', 'late'])
        expect(await third.look('l', 0, 9)).to.eql(['mine, too'])
        await third.state.close()
      }
    }))

  it('writes nothing at a clean close of a database that does not outlive it', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory)
      await subject.put('k', 5, 'value')
      await subject.commit()
      watchWrites(subject, (bytes) => expect.fail(`${bytes} bytes were written`))
      await subject.state.touch()
      await subject.state.close()
    }))

  it('counts what blocks take beside their bytes: of many commits with a record each that is more than the records', () =>
    temporary(async (directory) => {
      const counted: number[] = []
      for (const commits of [1, 1_000]) {
        const subject = await Subject.open(`${directory}-${commits}`)
        for (let i = 0; i < 1_000; i++) {
          await subject.put(`k${i}`, 5, 'v')
          if (commits > 1) subject.flush()
        }
        subject.flush()
        counted.push(subject.store.bytes)
        await subject.state.close()
      }
      expect(counted[1]! - counted[0]!).to.be.above(100 * 1_000)
    }))

  it('leaves nothing of what is past retention, neither on disk nor in the changelog after compaction', () =>
    temporary(async (directory) => {
      for (const cacheBytes of [1 << 30, 1]) {
        const subject = await Subject.open(`${directory}-${cacheBytes}`, cacheBytes)
        for (let time = 0; time < 400; time++) {
          await subject.put(`k${time % 7}`, time, `v${time}`)
          if (time % 5 === 0) await subject.store.expire(time)
          if (time % 8 === 0) await subject.commit()
        }
        await subject.store.expire(10_000)
        await subject.commit()
        await subject.store.expire(20_000)
        await subject.commit()
        const compacted = new Map(subject.log.map(([key, value]) => [key.toString('hex'), value]))
        expect([...compacted.values()].filter((value) => value !== null)).to.eql([])
        expect(await subject.onDisk()).to.equal(0)
        await subject.state.close()
      }
    }))

  it('stays near its memory when many buckets begin between two commits, and keeps nothing of those past retention', () =>
    temporary(async (directory) => {
      const limit = 1 << 20
      const subject = await Subject.open(directory, limit, [], { ...joinSpec, retentionMs: 30_000 })
      let most = 0
      let [time, commits] = [0, 0]
      for (; commits < 100; commits++) {
        for (let i = 0; i < 50; i++) {
          time += SIZE
          await subject.put(`k${i}`, time, 'value')
          await subject.store.expire(time)
        }
        most = Math.max(most, subject.store.bytes)
        await subject.commit()
      }
      expect(most).to.be.within(limit / 2, 1.5 * limit)
      await subject.store.expire(time + 30_000)
      await subject.commit()
      expect([subject.store.bytes, await subject.onDisk()]).to.eql([0, 0])
      await subject.state.close()
    }))

  it('forgets spilled buckets by stream time, and removes their rows as commits get through', () =>
    temporary(async (directory) => {
      const subject = await Subject.open(directory, 1)
      for (let time = 5; time < 100; time += SIZE) await subject.put('k', time, 'value')
      await subject.commit()
      expect(subject.store.anySpilled).to.equal(true)
      subject.store.observe(200)
      expect(subject.store.anySpilled).to.equal(false)
      const left: number[] = []
      for (const through of [50, 90, 200]) {
        await subject.store.expire(through)
        await subject.commit()
        left.push(await subject.onDisk())
      }
      expect(left).to.eql([8, 4, 0])
      await subject.state.close()
    }))

  it('answers as a plain list does: any caches, commits, clean closes, crashes, losses of the directory', () =>
    temporary(async (directory) => {
      const random = seededRandom(11)
      const whole = (n: number): number => Math.floor(random() * n)
      for (let run = 0; run < 30; run++) {
        const cacheBytes = [1 << 30, 1, 10_000][run % 3]!
        let home = `${directory}-${run}`
        let subject = await Subject.open(home, cacheBytes, [], joinSpec, native)
        const held: { key: string; time: number; value: string; at: number }[] = []
        let now = 0
        for (let i = 0; i < 300; i++) {
          now += whole(3)
          const time = Math.max(0, now - (whole(4) === 0 ? whole(25) : 0))
          const key = `k${whole(12)}`
          await subject.put(key, time, `v${i}`)
          held.push({ key, time, value: `v${i}`, at: i })
          await subject.store.expire(now)
          if (whole(6) === 0) await subject.commit()
          if (whole(40) === 0) {
            await subject.commit()
            const { log } = subject
            const end = whole(3)
            if (end === 0) await subject.state.touch()
            await subject.state.close()
            if (end === 1) home = `${directory}-${run}-${i}`
            subject = await Subject.open(home, cacheBytes, log, joinSpec, native)
          }
          const [asked, from] = [`k${whole(12)}`, Math.max(0, now - whole(25))]
          const expected = held
            .filter((h) => h.key === asked && h.time >= from && h.time <= now)
            .sort((a, b) => a.time - b.time || a.at - b.at)
          expect(await subject.look(asked, from, now), `run ${run}, put ${i}`).to.eql(expected.map((h) => h.value))
        }
        for (const time of [10_000, 20_000]) {
          await subject.store.expire(time)
          await subject.commit()
        }
        const compacted = new Map(subject.log.map(([id, value]) => [id.toString('hex'), value]))
        expect([[...compacted.values()].filter((value) => value !== null).length, await subject.onDisk()]).to.eql([
          0, 0
        ])
        await subject.state.close()
      }
    }))
})
