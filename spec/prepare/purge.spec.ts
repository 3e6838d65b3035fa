import { expect } from 'chai'
import { SimulatedClock } from 'xstate'
import type { Offset } from '../../lib/kafka/port.ts'
import { SILENT } from '../../lib/options/options.ts'
import { Purge } from '../../lib/prepare/purge.ts'
import { nextTurn } from '../../lib/time.ts'

describe('the purge of repartition topics', () => {
  const make = (deleteRecords: (offsets: Offset[]) => Promise<void>) => {
    const clock = new SimulatedClock()
    const purge = new Purge({ admin: { deleteRecords }, topics: ['app-x-repartition'], clock, logger: SILENT })
    return { clock, purge }
  }

  it('deletes below the last committed offset every 30 s, and leaves the topics of the user alone', async () => {
    const calls: Offset[][] = []
    const { clock, purge } = make(async (offsets) => void calls.push(offsets))
    purge.committed(new Map([['app-x-repartition-0', 5], ['orders-0', 9]])) // biome-ignore format: one line
    purge.committed(new Map([['app-x-repartition-0', 8]]))
    clock.increment(29_999)
    expect(calls).to.have.length(0)
    clock.increment(1)
    await nextTurn()
    clock.increment(30_000)
    await nextTurn()
    expect(calls).to.deep.equal([[{ topic: 'app-x-repartition', partition: 0, offset: 8 }]])
    await purge.close()
  })

  it('tries again with the next round when the broker refuses, with newer offsets where there are some', async () => {
    const calls: number[] = []
    const { clock, purge } = make(async (offsets) => {
      calls.push(offsets[0]!.offset)
      if (calls.length === 1) throw new Error('no leader')
    })
    purge.committed(new Map([['app-x-repartition-3', 5]]))
    clock.increment(30_000)
    await nextTurn()
    purge.committed(new Map([['app-x-repartition-3', 7]]))
    clock.increment(30_000)
    await nextTurn()
    expect(calls).to.deep.equal([5, 7])
    await purge.close()
  })

  it('deletes what is due when it is closed, and does nothing more', async () => {
    let calls = 0
    const { clock, purge } = make(async () => void calls++)
    purge.committed(new Map([['app-x-repartition-0', 5]]))
    await purge.close()
    expect(calls).to.equal(1)
    purge.committed(new Map([['app-x-repartition-0', 6]]))
    clock.increment(60_000)
    expect(calls).to.equal(1)
  })

  it('does not wait for long for a broker that is gone', async () => {
    const { clock, purge } = make(() => new Promise(() => {}))
    purge.committed(new Map([['app-x-repartition-0', 5]]))
    const closed = purge.close()
    await nextTurn()
    clock.increment(2_000)
    await closed
  })
})
