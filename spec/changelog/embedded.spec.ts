/** Restore through a real reader, on the embedded log: transactions, compaction, a crash in the middle. */
import { expect } from 'chai'
import { restoreStores } from '../../lib/changelog/restore.ts'
import { changelogSpec } from '../../lib/changelog/topics.ts'
import { type EmbeddedBroker, embeddedBroker } from '../../lib/embedded/index.ts'
import type { Transport, TxnProducer } from '../../lib/kafka/port.ts'
import { createTransport } from '../../lib/kafka/transport.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { databaseDriver } from '../../lib/store/drivers.ts'
import type { TaskState } from '../../lib/store/taskState.ts'
import { routedReader } from '../../lib/task/readerRouter.ts'
import { seededRandom, systemClock } from '../../lib/time.ts'
import { collect, keyValueSpec, openState, temporary } from '../cases/storeKit.ts'

const TP = { topic: 'shop-totals-changelog', partition: 0 }
const OLD = 987_654_321_000 // 2001

describe('restoring from the embedded log', () => {
  let broker: EmbeddedBroker
  let transport: Transport
  let producer: TxnProducer
  beforeEach(async () => {
    broker = embeddedBroker({ random: seededRandom(1), cleanEveryMs: 0 })
    transport = createTransport(broker.wire, { clock: systemClock, random: seededRandom(2) })
    await transport.admin.create([changelogSpec('shop', { name: 'totals' }, 1, 1)])
    producer = await transport.txnProducer('shop-0_0', { lane: 0, timeoutMs: 10_000 })
  })
  afterEach(async () => {
    await producer.close()
    await transport.close()
    await broker.close()
  })

  const append = (key: string, value: string | null): void => {
    const k = Buffer.from(key)
    const v = value === null ? null : Buffer.from(value)
    producer.writer(TP.topic, 0).append(OLD, k, 0, k.length, v, 0, v?.length ?? 0, NO_HEADERS)
  }

  /** Records the reader gave to the restore. */
  async function restore(state: TaskState, options: { batchBytes?: number } = {}): Promise<number> {
    let read = 0
    const reader = routedReader(
      transport,
      { isolation: 'committed', lane: 'restore', partitionMaxBytes: 4_000 },
      (error) => {
        throw error
      }
    )
    try {
      await restoreStores({
        state,
        changelogs: [{ store: 'totals', tp: TP }],
        transport,
        reader: {
          add: (tp, offset, sink, onError) =>
            reader.add(
              tp,
              offset,
              (batch) => {
                read += batch.records.count
                sink(batch)
              },
              onError
            ),
          pause: (tp) => reader.pause(tp),
          resume: (tp) => reader.resume(tp),
          remove: (tp) => reader.remove(tp)
        },
        clock: systemClock,
        signal: new AbortController().signal,
        ...options
      })
      return read
    } finally {
      await reader.close()
    }
  }

  const rows = async (state: TaskState): Promise<string[]> =>
    (await collect(state.store('totals').scan({ from: '', to: undefined }))).map((row) => `${row.id}=${row.value}`)

  it('reads committed records only, the tail only, and stands behind the markers of transactions', () =>
    temporary(async (directory) => {
      const state = await openState(directory, databaseDriver('rocksdb-native'), [keyValueSpec('totals')], {
        clock: systemClock
      })
      for (let i = 0; i < 200; i++) append(`k${i}`, String(i))
      await producer.commit()
      append('k0', '"aborted"')
      await producer.flush()
      await producer.abort()
      expect(await restore(state)).to.equal(200)
      expect((await rows(state))[0]).to.equal('k0=0')
      const end = (await transport.offsets([TP], 'lso')).get('shop-totals-changelog-0')!
      expect(state.position('totals')?.next).to.equal(end)
      append('k0', '"new"')
      append('k1', null)
      await producer.commit()
      expect(await restore(state)).to.equal(2)
      expect(await restore(state)).to.equal(0)
      const all = await rows(state)
      expect(all.length).to.equal(199)
      expect(all[0]).to.equal('k0="new"'.replaceAll('"', ''))
      await state.close()
    }))

  it('goes on at the position after a crash in the middle, on a compacted log of old event times', () =>
    temporary(async (directory) => {
      const open = (): Promise<TaskState> =>
        openState(directory, databaseDriver('rocksdb-native'), [keyValueSpec('totals')], { clock: systemClock })
      for (let round = 0; round < 20; round++) {
        for (let i = 0; i < 100; i++) append(`k${round * 30 + i}`, String(round * 100 + i))
        await producer.commit()
      }
      broker.clean()
      const first = await open()
      const write = first.restoreBatch.bind(first)
      let writes = 0
      first.restoreBatch = async (parts) => {
        if (++writes === 2) throw new Error('crash')
        await write(parts)
      }
      let message = ''
      await restore(first, { batchBytes: 500 }).catch((error: Error) => {
        message = error.message
      })
      expect(message).to.equal('crash')
      await first.close()
      const again = await open()
      const { next } = again.position('totals')!
      expect(next).to.be.above(0)
      const whole = await openState(`${directory}-memory`, databaseDriver('memory'), [keyValueSpec('totals')], {
        clock: systemClock
      })
      const all = await restore(whole)
      const rest = await restore(again)
      expect(rest).to.be.within(1, all - 1)
      expect(await rows(again)).to.eql(await rows(whole))
      expect((await rows(again)).length).to.equal(670)
      await again.close()
      await whole.close()
    }))
})
