/** Processes that live for one commit, or die in the middle of one: what is over leaves all the same, and what is not is told. */
import { expect } from 'chai'
import { session, tumbling } from '../../lib/dsl/windows.ts'
import { SessionAggregateOperator } from '../../lib/operators/sessionAggregate.ts'
import { sessionsSerde } from '../../lib/operators/sessionRow.ts'
import { WindowedAggregateOperator } from '../../lib/operators/windowedAggregate.ts'
import type { SessionWindows, TimeWindows } from '../../lib/operators/windows.ts'
import { NO_HEADERS, StreamRecord } from '../../lib/record.ts'
import { long, string } from '../../lib/serde/index.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { Database, DatabaseDriver, StoreSpec } from '../../lib/store/port.ts'
import type { Operator, OperatorContext } from '../../lib/topology/node.ts'
import { altered, openState, temporary } from '../cases/storeKit.ts'

type Logged = [key: Buffer, value: Buffer | null, time: number]
const key = string()
const SESSIONS = { name: 's', kind: 'keyValue', key, value: sessionsSerde(long()), caching: true, logged: true }
const WINDOWS = {
  name: 's',
  kind: 'window',
  key,
  value: long(),
  caching: true,
  logged: true,
  retentionMs: 2_000,
  windowMs: 1_000
}

const sessions = (emit: 'update' | 'close'): Operator =>
  new SessionAggregateOperator<string, string, number>(
    's',
    key,
    session(5) as SessionWindows,
    (sum) => Number(sum ?? 0) + 1,
    (_, a, b) => Number(a ?? 0) + Number(b),
    { emit }
  ) as Operator
const windows = (): Operator =>
  new WindowedAggregateOperator<string, string, number>(
    's',
    key,
    tumbling(1_000, { grace: 1_000 }) as TimeWindows,
    (sum) => Number(sum ?? 0) + 1
  ) as Operator

/** One life over a directory, with what is in the log of it and what was saved with the offsets. */
async function life(
  directory: string,
  driver: DatabaseDriver,
  spec: object,
  operator: Operator,
  saved: Map<string, number>,
  log: Logged[] = []
) {
  let database: Database | undefined
  const kept = altered(driver, (opened) => {
    database = opened
  })
  const state = await openState(directory, kept, [spec as StoreSpec<string, unknown>])
  const store = state.store('s')
  if (log.length > 0)
    await database!.write((batch) => {
      for (const [k, v, time] of log) store.restore(batch, k, v, time)
    })
  const out: string[] = []
  operator.init!({
    store: () => store,
    saved: (slot: string) => saved.get(slot),
    save: (slot: string, value: number) => saved.set(slot, value),
    onIdle() {},
    drop() {},
    forward(record: StreamRecord<{ key: string; start: number; end: number }, { value: unknown }>) {
      if (record.value.value !== null) out.push(`${record.key.key}@${record.key.start}-${record.key.end}`)
    }
  } as unknown as OperatorContext)
  return {
    out,
    state,
    send: async (name: string, time: number) => operator.process(new StreamRecord(name, 'v', time, NO_HEADERS)),
    async commit(to: Logged[] = []) {
      await store.cut(false)
      await store.flush((k, v, time) => void to.push([Buffer.from(k), v && Buffer.from(v), time]))
      await state.commit(new Map())
    },
    async rows() {
      const ids: string[] = []
      for await (const { id } of (store as unknown as { scan(range: object): AsyncIterable<{ id: string }> }).scan({
        from: '',
        to: undefined
      }))
        ids.push(id)
      return ids
    }
  }
}

describe('Short lives', () => {
  for (const [what, spec, operator] of [
    ['windows', WINDOWS, windows],
    ['sessions', SESSIONS, () => sessions('update')],
    ['sessions on close', SESSIONS, () => sessions('close')]
  ] as const) {
    it(`of one commit each remove ${what} that were over in those before`, () =>
      temporary(async (directory) => {
        const saved = new Map<string, number>()
        let left: string[] = []
        for (let i = 1; i <= 12; i++) {
          const one = await life(directory, databaseDriver('rocksdb-native'), spec, operator(), saved)
          await one.send('k', i * 1_000)
          await one.commit()
          left = await one.rows()
          await one.state.close()
        }
        expect(left).to.have.length.within(1, 6)
      }))
  }

  for (const emit of ['close', 'update'] as const) {
    it(`a crash anywhere in a flush leaves no session without its mark: each is told and removed (on ${emit})`, () =>
      temporary(async (directory) => {
        const log: Logged[] = []
        const memory = databaseDriver('memory')
        const first = await life(`${directory}/first`, memory, SESSIONS, sessions(emit), new Map())
        await first.send('k', 100)
        await first.send('k', 120)
        await first.commit(log)
        expect(log).to.have.length.above(1)
        for (let written = 0; written <= log.length; written++) {
          const next = await life(
            `${directory}/${written}`,
            memory,
            SESSIONS,
            sessions(emit),
            new Map(),
            log.slice(0, written)
          )
          await next.send('k', 100)
          await next.send('k', 120)
          await next.commit()
          for (const time of [1_000, 2_000, 3_000]) {
            await next.send('z', time)
            await next.commit()
          }
          expect(next.out, `${written} of ${log.length} in the log`).to.include('k@120-120')
          expect((await next.rows()).filter((id) => id.includes('k'))).to.eql([])
        }
      }))
  }
})
