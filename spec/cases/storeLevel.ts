/** What the task's stores must do over every driver: cache, flush, persist, restore, scans, expiry. */
import { expect } from 'chai'
import { NO_HEADERS, RecordSet } from '../../lib/record.ts'
import { windowId } from '../../lib/store/bytes.ts'
import { keyValueFacade } from '../../lib/store/keyValue.ts'
import type { ChangelogSink, DatabaseDriver, Row, TaskStore } from '../../lib/store/port.ts'
import type { TaskState } from '../../lib/store/taskState.ts'
import { windowFacade } from '../../lib/store/window.ts'
import type { WindowRowStore } from '../../lib/store/windowRows.ts'
import { collect, json, keyValueSpec, openState, temporary, text, windowSpec } from './storeKit.ts'

/** Changelog records as `key=value@time`; window keys as `start/key`. */
export function changelog(window = false): { sink: ChangelogSink; taken: () => string[] } {
  let records: string[] = []
  const keyOf = (key: Buffer): string =>
    window ? `${Number(key.readBigInt64BE(0))}/${key.toString('utf8', 8)}` : key.toString()
  return {
    sink: (key, value, time) => {
      records.push(`${keyOf(key)}=${value?.toString() ?? 'null'}@${time}`)
    },
    taken: () => {
      const all = records
      records = []
      return all
    }
  }
}

async function settle(store: TaskStore, sink: ChangelogSink | undefined): Promise<void> {
  while (store.dirty) await store.flush(sink)
}

async function commit(state: TaskState, sink: ChangelogSink | undefined, next?: number): Promise<void> {
  for (const store of state.stores) await settle(store, sink)
  await state.commit(new Map(next === undefined ? [] : [[state.stores[0]!.spec.name, next]]))
}

export function storeLevelCases(driver: DatabaseDriver): void {
  const withState =
    (
      use: (state: TaskState, reopen: () => Promise<TaskState>) => Promise<void>,
      specs = [keyValueSpec('totals')],
      options: { cacheBytes?: number } = {}
    ) =>
    () =>
      temporary(async (directory) => {
        let state = await openState(directory, driver, specs, options)
        const reopen = async (): Promise<TaskState> => {
          await state.close()
          state = await openState(directory, driver, specs, options)
          return state
        }
        try {
          await use(state, reopen)
        } finally {
          await state.close()
        }
      })
  const totals = keyValueSpec('totals')

  describe('a row store', () => {
    it(
      'serialises a value once at flush, however often it changed, in the order of the first changes',
      withState(async (state) => {
        let encoded = 0
        const store = state.store('totals')
        const { encode } = json
        json.encode = (value) => {
          encoded++
          return encode(value)
        }
        try {
          for (let i = 0; i < 100; i++) {
            for (const id of ['b', 'a']) store.set(await store.row(id), i, i, NO_HEADERS)
          }
          const log = changelog()
          await store.flush(log.sink)
          expect(log.taken()).to.eql(['b=99@99', 'a=99@99'])
          expect(encoded).to.equal(2)
          expect(store.dirty).to.equal(false)
        } finally {
          json.encode = encode
        }
      })
    )

    it(
      'gives each changed row once to onFlush, with what was sent before',
      withState(async (state) => {
        const store = state.store('totals')
        const given: unknown[] = []
        store.onFlush = (row, old) => void given.push([row.id, row.value, old])
        store.set(await store.row('a'), 1, 5, NO_HEADERS)
        store.set(await store.row('a'), 2, 6, NO_HEADERS)
        await commit(state, undefined)
        store.set(await store.row('a'), 3, 7, NO_HEADERS)
        await store.flush(undefined)
        store.set(await store.row('a'), null, 8, NO_HEADERS)
        await commit(state, undefined)
        expect(given).to.eql([
          ['a', 2, null],
          ['a', 3, 2],
          ['a', null, 3]
        ])
        const row = await store.row('a')
        expect([row.value, row.timestamp, row.sent]).to.eql([null, -1, null])
      })
    )

    it(
      'says nothing of a row that came and went between two flushes',
      withState(async (state) => {
        const store = state.store('totals')
        const log = changelog()
        store.onFlush = () => expect.fail('nothing to give')
        store.set(await store.row('a'), 1, 5, NO_HEADERS)
        store.set(await store.row('a'), null, 6, NO_HEADERS)
        await commit(state, log.sink)
        expect(log.taken()).to.eql([])
      })
    )

    it(
      'keeps rows dirty that are changed while it flushes, and gives them with the next flush',
      withState(async (state) => {
        const store = state.store('totals')
        const log = changelog()
        const rows = await Promise.all(['a', 'b', 'c'].map(async (id) => store.row(id)))
        for (const row of rows) store.set(row, 1, 1, NO_HEADERS)
        const given: string[] = []
        store.onFlush = async (row) => {
          given.push(`${row.id}${row.value}`)
          // a: changed after it was given. c: changed before its turn.
          if (row.id === 'b' && row.value === 1) for (const i of [0, 2]) store.set(rows[i]!, 2, 2, NO_HEADERS)
        }
        await store.flush(log.sink)
        expect(given).to.eql(['a1', 'b1'])
        expect(store.dirty).to.equal(true)
        await store.flush(log.sink)
        expect(given).to.eql(['a1', 'b1', 'a2', 'c2'])
        expect(log.taken()).to.eql(['a=1@1', 'b=1@1', 'a=2@2', 'c=2@2'])
      })
    )

    it(
      'persists the flushed bytes and not what the row became since: database and changelog tell the same',
      withState(async (state, reopen) => {
        const store = state.store('totals')
        store.set(await store.row('a'), 'logged', 1, NO_HEADERS)
        store.set(await store.row('gone'), 'x', 1, NO_HEADERS)
        await store.flush(undefined)
        store.set(await store.row('a'), 'newer', 2, NO_HEADERS)
        store.set(await store.row('gone'), null, 2, NO_HEADERS)
        await state.commit(new Map([['totals', 2]]))
        expect((await store.row('a')).value).to.equal('newer') // nothing lost in memory
        expect(store.dirty).to.equal(true)
        if (!driver.durable) return
        const again = await reopen()
        const row = await again.store('totals').row('a')
        expect([row.value, row.timestamp]).to.eql(['logged', 1])
        expect((await again.store('totals').row('gone')).value).to.equal('x')
        expect(again.position('totals')).to.eql({ next: 2, at: 1_000 })
      })
    )

    it(
      'persists a change that was flushed while the write of an earlier one was under way',
      withState(async (state, reopen) => {
        const store = state.store('totals')
        store.set(await store.row('a'), 1, 1, NO_HEADERS)
        await store.flush(undefined)
        const writing = state.commit(new Map())
        store.set(await store.row('a'), 2, 2, NO_HEADERS)
        await store.flush(undefined)
        await writing
        await state.commit(new Map())
        if (driver.durable) expect((await (await reopen()).store('totals').row('a')).value).to.equal(2)
      })
    )

    it(
      'asks the database once for an id that two read at the same time, and once for an absent one',
      withState(
        async (state) => {
          const store = state.store('totals')
          store.set(await store.row('a'), 1, 1, NO_HEADERS)
          await commit(state, undefined)
          store.clear()
          const [one, two] = await Promise.all([store.row('a'), store.row('a'), store.prefetch(['a', 'b', 'a', 'b'])])
          expect(one).to.equal(two)
          expect(one?.value).to.equal(1)
          const absent = store.row('b')
          expect(absent).not.to.be.instanceOf(Promise)
          expect((absent as Row<unknown>).value).to.equal(null)
          expect(store.size).to.equal(2)
        },
        [totals]
      )
    )

    it(
      'stays near its budget by evicting clean rows, and keeps every change',
      withState(
        async (state) => {
          const store = state.store('totals')
          for (let batch = 0; batch < 30; batch++) {
            const ids = Array.from({ length: 100 }, (_, i) => `key-${(batch * 37 + i * 11) % 1_500}`)
            await store.prefetch(ids)
            for (const id of ids) {
              const row = await store.row(id)
              store.set(row, ((row.value as number | null) ?? 0) + 1, batch, NO_HEADERS)
            }
            await commit(state, undefined)
            expect(store.bytes).to.be.at.most(64 << 10)
          }
          const sum = (await collect(keyValueFacade(store, totals, () => 0).all())).reduce(
            (n, [, v]) => n + Number(v),
            0
          )
          expect(sum).to.equal(3_000)
        },
        [totals],
        { cacheBytes: 64 << 10 }
      )
    )

    it(
      'takes a set of a row that was evicted while an operator held it',
      withState(
        async (state) => {
          const store = state.store('totals')
          const held = await store.row('held')
          store.set(held, 1, 1, NO_HEADERS)
          await commit(state, undefined)
          for (let i = 0; held.cached; i++) {
            await store.prefetch(Array.from({ length: 100 }, (_, j) => `k${i}-${j}`))
            expect(i).to.be.below(100)
          }
          store.set(held, 2, 2, NO_HEADERS)
          expect((await store.row('held')).value).to.equal(2)
          const log = changelog()
          await commit(state, log.sink)
          expect(log.taken()).to.eql(['held=2@2'])
        },
        [totals],
        { cacheBytes: 16 << 10 }
      )
    )

    it(
      'refuses a value that does not serialise with store and key, and writes nothing of that flush',
      withState(async (state) => {
        const store = state.store('totals')
        const log = changelog()
        const loop: Record<string, unknown> = {}
        loop.self = loop
        store.set(await store.row('good'), 1, 1, NO_HEADERS)
        store.set(await store.row('bad'), loop, 1, NO_HEADERS)
        expect(() => store.flush(log.sink))
          .to.throw(/Store "totals" cannot keep the value of key "bad".*circular/s)
          .with.property('code', 'ERR_ENCODE')
        expect(log.taken()).to.eql([])
        store.set(await store.row('bad'), 'mended', 2, NO_HEADERS)
        await commit(state, log.sink)
        expect(log.taken()).to.eql(['good=1@1', 'bad="mended"@2'])
      })
    )
  })

  describe('the key-value face', () => {
    it(
      'merges what is not written yet over the database, by the order of the bytes, both ways',
      withState(async (state) => {
        const store = keyValueFacade(state.store('totals'), totals, () => 7)
        for (const key of ['b', 'd', 'f', 'h', 'é']) await store.put(key, key)
        await commit(state, undefined)
        await store.put('a', 'new')
        await store.put('d', 'changed')
        await store.delete('f')
        await store.delete('nothing')
        const keys = async (items: AsyncIterable<[string, unknown]>): Promise<string> =>
          (await collect(items)).map(([key, value]) => `${key}:${value}`).join(' ')
        expect(await keys(store.all())).to.equal('a:new b:b d:changed h:h é:é')
        expect(await keys(store.range('b', 'h'))).to.equal('b:b d:changed h:h')
        expect(await keys(store.range('b', 'h', { reverse: true }))).to.equal('h:h d:changed b:b')
        expect(await keys(store.range('b', 'h', { limit: 2 }))).to.equal('b:b d:changed')
        expect(await keys(store.range('e', 'z', { limit: 1 }))).to.equal('h:h')
        expect(await store.get('f')).to.equal(null)
        expect(await store.get('d')).to.equal('changed')
      })
    )

    it(
      'goes on undisturbed while its consumer changes, deletes, adds and commits',
      withState(async (state) => {
        const store = keyValueFacade(state.store('totals'), totals, () => 7)
        for (let i = 100; i < 110; i++) await store.put(`k${i}`, i)
        await commit(state, undefined)
        for (let i = 105; i < 115; i++) await store.put(`k${i}`, -i)
        const seen: unknown[] = []
        for await (const [key, value] of store.all()) {
          seen.push(value)
          await store.delete(key)
          await store.put('k999', 'added')
          await store.put('k114', 'changed')
          if (seen.length === 7) await commit(state, undefined)
        }
        expect(seen).to.eql([100, 101, 102, 103, 104, -105, -106, -107, -108, -109, -110, -111, -112, -113, -114])
        expect(await collect(store.all())).to.eql([
          ['k114', 'changed'],
          ['k999', 'added']
        ])
      })
    )
  })

  describe('a window store', () => {
    const spec = windowSpec('windows', 100)
    const faces = (state: TaskState, time: { now: number }) => {
      const rows = state.store('windows') as WindowRowStore<unknown>
      return {
        rows,
        store: windowFacade(
          rows,
          spec,
          () => time.now,
          () => time.now
        )
      }
    }

    it(
      'fetches by key and start, over a time of one key, and over all keys in time order',
      withState(
        async (state) => {
          const time = { now: 30 }
          const { store } = faces(state, time)
          for (const start of [20, 0, 10])
            for (const key of ['b', 'a', 'ab']) await store.put(key, `${key}${start}`, start)
          await commit(state, undefined)
          await store.put('a', 'new', 30)
          expect(await store.fetch('a', 10)).to.equal('a10')
          expect(await store.fetch('a', 11)).to.equal(null)
          expect(await collect(store.fetchRange('a', 10, 30))).to.eql([
            [10, 'a10'],
            [20, 'a20'],
            [30, 'new']
          ])
          expect((await collect(store.all(10, 20))).map(([{ key, start }]) => `${start}${key}`)).to.eql([
            '10a',
            '10ab',
            '10b',
            '20a',
            '20ab',
            '20b'
          ])
        },
        [spec]
      )
    )

    it(
      'hides windows past retention and refuses puts to them: start ≤ stream time − retention',
      withState(
        async (state) => {
          const time = { now: 100 }
          const { store } = faces(state, time)
          await store.put('a', 1, 10)
          await store.put('a', 2, 20)
          time.now = 110
          expect(await store.fetch('a', 10)).to.equal(null)
          expect(await store.fetch('a', 11)).to.equal(null)
          expect(await collect(store.fetchRange('a', 0, 100))).to.eql([[20, 2]])
          await store.put('a', 9, 10)
          time.now = 100
          expect(await store.fetch('a', 10)).to.equal(1)
        },
        [spec]
      )
    )

    it(
      'expires by tombstones in the changelog and one range delete, written and unwritten rows alike',
      withState(
        async (state, reopen) => {
          const time = { now: 50 }
          const { rows, store } = faces(state, time)
          const log = changelog(true)
          for (const start of [0, 10, 20, 50]) await store.put('k', start, start)
          await commit(state, log.sink, 4)
          log.taken()
          await store.put('k', 'late', 20) // changed, not flushed, when it expires
          await store.put('new', 1, 10) // not in the database when it expires
          const given: string[] = []
          rows.onFlush = (row) => void given.push(String(row.value))
          time.now = 130
          await rows.expire(130)
          expect(rows.dirty).to.equal(true)
          await commit(state, log.sink, 10)
          const logged = log.taken()
          expect(given).to.eql(['late', '1']) // a change that was in time goes downstream
          expect(logged.slice(0, 2)).to.eql(['20/k="late"@50', '10/new=1@50'])
          expect([...new Set(logged.slice(2))].sort()).to.eql([
            '0/k=null@0',
            '10/k=null@10',
            '10/new=null@10',
            '20/k=null@20'
          ])
          const left = async (of: TaskState): Promise<string[]> =>
            (await collect(of.store('windows').scan({ from: '', to: undefined }))).map((row) => row.id.slice(8))
          expect(await left(state)).to.eql(['k'])
          expect(rows.size).to.equal(1)
          expect(rows.dirty).to.equal(false)
          if (driver.durable) expect(await left(await reopen())).to.eql(['k'])
        },
        [spec]
      )
    )

    it(
      'expires what a commit under way has in the changelog and not yet in the database',
      withState(
        async (state) => {
          const time = { now: 50 }
          const { rows, store } = faces(state, time)
          const log = changelog(true)
          await store.put('k', 1, 10)
          await settle(rows, log.sink) // the first half of a commit
          await rows.expire(130)
          await state.commit(new Map()) // its second half
          await commit(state, log.sink)
          expect(log.taken()).to.eql(['10/k=1@50', '10/k=null@10'])
          expect(await collect(rows.scan({ from: '', to: undefined }))).to.eql([])
        },
        [spec]
      )
    )

    it(
      'works off a jump over many windows in parts, and does nothing until stream time has passed the next step',
      withState(
        async (state) => {
          const time = { now: 50 }
          const { rows, store } = faces(state, time)
          const log = changelog(true)
          await rows.prefetch(Array.from({ length: 25_000 }, (_, i) => windowId(i % 50, `k${i}`)))
          for (let i = 0; i < 25_000; i++) store.put(`k${i}`, 0, i % 50)
          await commit(state, log.sink)
          log.taken()
          await rows.expire(100)
          await commit(state, log.sink)
          expect(log.taken().length).to.equal(500)
          await rows.expire(1_000_000)
          await commit(state, log.sink)
          expect(log.taken().length).to.equal(20_000)
          await rows.expire(1_000_000)
          await commit(state, log.sink)
          expect(log.taken().length).to.equal(4_500)
          expect(rows.expire(1_000_000)).to.equal(undefined)
          expect(rows.size).to.equal(0)
          expect(rows.expire(1_000_001)).to.equal(undefined) // nothing due: no scan, no promise
          expect(rows.dirty).to.equal(false)
        },
        [spec],
        { cacheBytes: 64 << 20 }
      )
    )
  })

  describe('task state', () => {
    it(
      'restores records straight into the database together with the position, and skips null keys',
      withState(async (state, reopen) => {
        const set = records([
          ['a', '1', 5],
          ['b', '2', 6],
          [null, '9', 6],
          ['a', null, 7],
          ['c', '3', 8]
        ])
        await state.restoreBatch([{ store: 'totals', sets: [set], next: 12 }])
        const of = driver.durable ? await reopen() : state
        const store = of.store('totals')
        expect(await collect(store.scan({ from: '', to: undefined }))).to.eql([
          { id: 'b', value: 2, timestamp: 6 },
          { id: 'c', value: 3, timestamp: 8 }
        ])
        expect(of.position('totals')).to.eql({ next: 12, at: 1_000 })
      })
    )

    it(
      'empties one store, or all with the saved times, and no other',
      withState(
        async (state) => {
          for (const name of ['totals', 'others']) {
            const store = state.store(name)
            store.set(await store.row('a'), 1, 1, NO_HEADERS)
          }
          state.setTime('input-0', 99)
          for (const store of state.stores) await store.flush(undefined)
          await state.commit(
            new Map([
              ['totals', 1],
              ['others', 1]
            ])
          )
          await state.wipe('totals')
          const value = async (name: string): Promise<unknown> => (await state.store(name).row('a')).value
          expect([await value('totals'), await value('others')]).to.eql([null, 1])
          expect([state.position('totals'), state.position('others')?.next, state.time('input-0')]).to.eql([
            undefined,
            1,
            99
          ])
          await state.wipe()
          expect([await value('others'), state.position('others'), state.time('input-0')]).to.eql([
            null,
            undefined,
            undefined
          ])
        },
        [totals, keyValueSpec('others')]
      )
    )
  })
}

/** Changelog records as the reader gives them. */
export function records(rows: readonly (readonly [string | null, string | null, number])[], offset = 0): RecordSet {
  const parts = rows.flatMap(([key, value]) => [text.encode(key ?? ''), text.encode(value ?? '')])
  const set = new RecordSet(Buffer.concat(parts), rows.length)
  let at = 0
  for (const [i, [key, value, time]] of rows.entries()) {
    const keyEnd = at + parts[i * 2]!.length
    const valueEnd = keyEnd + parts[i * 2 + 1]!.length
    set.keyStart[i] = at
    set.keyEnd[i] = key === null ? -1 : keyEnd
    set.valueStart[i] = keyEnd
    set.valueEnd[i] = value === null ? -1 : valueEnd
    set.headersAt[i] = -1
    set.offsets[i] = offset + i
    set.timestamps[i] = time
    at = valueEnd
  }
  set.count = rows.length
  return set
}
