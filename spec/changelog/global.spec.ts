/** From where a global table is read on, and when it is read anew. */
import { expect } from 'chai'
import { GlobalFollower } from '../../lib/changelog/global.ts'
import { embeddedTransport } from '../../lib/embedded/index.ts'
import type { Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { string } from '../../lib/serde/index.ts'
import { cacheBudget } from '../../lib/store/cache/budget.ts'
import { type GlobalState, openGlobalState } from '../../lib/store/globalState.ts'
import { memoryDriver } from '../../lib/store/memory.ts'
import { routedReader } from '../../lib/task/readerRouter.ts'
import { type Clock, systemClock } from '../../lib/time.ts'

const DAY = 24 * 3_600_000
const spec = { name: 'g', kind: 'keyValue', key: string(), value: string(), caching: false, logged: false } as const

describe('The follower of global tables', () => {
  let transport: Transport
  let state: GlobalState
  let ahead = 0 // of the wall clock
  const clock: Clock = {
    now: () => systemClock.now() + ahead,
    setTimeout: (fn, ms) => systemClock.setTimeout(fn, ms),
    clearTimeout: (timer) => systemClock.clearTimeout(timer)
  }

  beforeEach(async () => {
    ahead = 0
    transport = embeddedTransport()
    const config = { 'cleanup.policy': 'compact' }
    await transport.admin.create([{ topic: 'in', partitions: 2, replication: 1, config }])
    state = await openGlobalState({
      directory: 'spec-global',
      applicationId: 'job',
      driver: memoryDriver,
      specs: [spec],
      cache: cacheBudget(1 << 20)
    })
  })
  afterEach(async () => {
    await state.close()
    await transport.close()
  })

  const write = async (topic: string, partition: number, ...entries: [string, string | null][]): Promise<void> => {
    const producer = await transport.producer({ lane: 0 })
    for (const [key, value] of entries) {
      const [k, v] = [Buffer.from(key), value === null ? null : Buffer.from(value)]
      producer.writer(topic, partition).append(1, k, 0, k.length, v, 0, v?.length ?? 0, NO_HEADERS)
    }
    await producer.flush()
    await producer.close()
  }
  /** One life of a process. @returns how many records were read */
  const live = async (topic = 'in', partitions = 2): Promise<number> => {
    let records = 0
    const reader = routedReader(transport, { isolation: 'committed', lane: 'restore' }, (error) => {
      throw error
    })
    const add = reader.add
    reader.add = (tp, offset, sink, onError) =>
      add(
        tp,
        offset,
        (batch) => {
          records += batch.records.count
          sink(batch)
        },
        onError
      )
    const signal = new AbortController().signal
    const failed = (error: unknown): never => {
      throw error
    }
    const tables = [{ store: 'g', topic, partitions }]
    const follower = new GlobalFollower({ state, tables, transport, reader, clock, signal, failed })
    await follower.fill()
    await follower.close()
    await reader.close()
    return records
  }
  const value = async (key: string): Promise<unknown> => (await state.rows('g').row(key)).value

  it('reads on from its position, and all of a partition that is new', async () => {
    await write('in', 0, ['a', '1'], ['b', '1'])
    expect(await live()).to.equal(2)
    await write('in', 1, ['c', '1'], ['b', null])
    expect(await live()).to.equal(2)
    expect([await value('a'), await value('b'), await value('c')]).to.deep.equal(['1', null, '1'])
    await transport.admin.addPartitions('in', 3)
    await write('in', 2, ['d', '1'])
    expect(await live('in', 3)).to.equal(1)
    expect(await value('d')).to.equal('1')
    expect(await live('in', 3)).to.equal(0)
  })

  it('begins anew when tombstones may be gone that it has not seen, not when it has missed nothing', async () => {
    await write('in', 0, ['a', '1'], ['b', '1'])
    await live()
    ahead = 2 * DAY
    expect(await live()).to.equal(0)
    ahead = 4 * DAY
    await write('in', 0, ['a', '2'])
    expect(await live()).to.equal(3)
    expect([await value('a'), await value('b')]).to.deep.equal(['2', '1'])
  })

  it('begins anew when the log was cut off behind its position', async () => {
    await transport.admin.create([{ topic: 'cut', partitions: 1, replication: 1, config: {} }])
    await write('cut', 0, ['a', '1'], ['b', '1'])
    await live('cut', 1)
    await write('cut', 0, ['c', '1'], ['d', '1'])
    await transport.admin.deleteRecords([{ topic: 'cut', partition: 0, offset: 3 }])
    expect(await live('cut', 1)).to.equal(1)
    expect([await value('a'), await value('c'), await value('d')]).to.deep.equal([null, null, '1'])
  })

  it('begins anew from another topic', async () => {
    await transport.admin.create([{ topic: 'other', partitions: 1, replication: 1, config: {} }])
    await write('in', 0, ['a', '1'])
    await write('other', 0, ['b', '1'])
    await live()
    expect(await live('other', 1)).to.equal(1)
    expect([await value('a'), await value('b')]).to.deep.equal([null, '1'])
  })
})
