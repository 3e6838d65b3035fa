/** Cases: all or nothing, for records and offsets; one owner at a time. */
import { expect } from 'chai'
import type { TxnProducer } from '../../../lib/kafka/port.ts'
import { until } from '../../../lib/testing/until.ts'
import { fails, put, type Side, unique } from './support.ts'

const NOBODY = (groupId: string) => ({ groupId, generation: -1, memberId: '' })

export function transactionCases(side: Side): void {
  const open = (id = unique('txn'), lane = 0): Promise<TxnProducer> =>
    side.transport.txnProducer(id, { timeoutMs: 30_000, lane })

  const send = async (txn: TxnProducer, topic: string, ...values: string[]): Promise<void> => {
    for (const value of values) put(txn.writer(topic, 0), { key: value, value })
    await txn.flush()
  }

  it('shows records to committed readers when they are committed, to uncommitted ones at once', async () => {
    const topic = await side.topic()
    const txn = await open()
    await send(txn, topic, 'a', 'b')
    expect(txn.inTransaction).to.equal(true)
    expect(await side.values(topic)).to.deep.equal([])
    expect(await side.values(topic, { isolation: 'uncommitted' })).to.deep.equal(['a', 'b'])
    expect([await side.end(topic, 'lso'), await side.end(topic, 'hw')]).to.deep.equal([0, 2])
    await txn.commit()
    expect(txn.inTransaction).to.equal(false)
    await side.stable(topic, 3)
    expect(await side.values(topic)).to.deep.equal(['a', 'b'])
    expect(await side.end(topic, 'hw')).to.equal(3)
    await txn.close()
  })

  it('never shows what was aborted, whatever the keys of its records', async () => {
    // A filter that takes any record with key 00 00 00 00 for a marker opens up at the second record.
    const topic = await side.topic()
    const txn = await open()
    for (const n of [1, 0, 2]) {
      const key = Buffer.alloc(4)
      key.writeInt32BE(n)
      txn.writer(topic, 0).append(1_000, key, 0, 4, key, 0, 4, [])
    }
    await txn.flush()
    await txn.abort()
    await side.stable(topic, 4)
    expect(await side.values(topic)).to.deep.equal([])
    await send(txn, topic, 'kept')
    await txn.commit()
    await side.stable(topic, 6)
    expect(await side.values(topic)).to.deep.equal(['kept'])
    await txn.close()
  })

  it('never shows what was aborted when another, begun later, was aborted earlier', async () => {
    // The broker lists aborted transactions in the order they ended: B before A, although A began first.
    const topic = await side.topic()
    const [a, b] = [await open(), await open()]
    await send(a, topic, 'A1')
    await send(b, topic, 'B1')
    await b.abort()
    await send(a, topic, 'A2')
    await a.abort()
    await send(a, topic, 'A3')
    await a.commit()
    await side.stable(topic, 7)
    for (const from of [0, 1, 2, 3]) expect(await side.values(topic, { from })).to.deep.equal(['A3'])
    await Promise.all([a.close(), b.close()])
  })

  it('never shows what was aborted to a reader that begins between two open transactions', async () => {
    const topic = await side.topic()
    const [a, b] = [await open(), await open()]
    await send(a, topic, 'A1')
    await send(b, topic, 'B1', 'B2')
    await send(a, topic, 'A2')
    await Promise.all([a.abort(), b.abort()])
    await side.stable(topic, 6)
    await side.write(topic, ['kept'])
    for (const from of [0, 1, 2, 3, 4]) expect(await side.values(topic, { from })).to.deep.equal(['kept'])
    await Promise.all([a.close(), b.close()])
  })

  it('lets positions reach the end of a partition that holds aborted records only', async () => {
    const topic = await side.topic()
    const txn = await open()
    for (let i = 0; i < 3; i++) {
      await send(txn, topic, `${i}`)
      await txn.abort()
    }
    const end = 6
    await side.stable(topic, end)
    const positions: number[] = []
    const reader = side.transport.reader({ isolation: 'committed', lane: 'source', maxWaitMs: 100, onError: () => {} })
    reader.add({ topic, partition: 0 }, 0, ({ next, records }) => positions.push(next, -records.count))
    await until(() => positions.includes(end))
    expect(positions.filter((p) => p < 0)).to.deep.equal([])
    await reader.close()
    await txn.close()
  })

  it('commits offsets with the records, and drops both by an abort', async () => {
    const [topic, groupId] = [await side.topic(), unique('group')]
    const txn = await open()
    await send(txn, topic, 'first')
    await txn.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 10, metadata: 'm' }])
    await txn.commit()
    await send(txn, topic, 'second')
    await txn.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 20 }])
    await txn.abort()
    await side.stable(topic, 4)
    expect(await side.values(topic)).to.deep.equal(['first'])
    expect(await side.committed(groupId, topic)).to.equal(10)
    await txn.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 30 }])
    await txn.commit()
    expect(await side.committed(groupId, topic), 'offsets alone').to.equal(30)
    await txn.close()
  })

  it('waits with committed offsets until a pending transaction has ended', async () => {
    const [topic, groupId] = [await side.topic(), unique('group')]
    const txn = await open()
    await txn.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 5 }])
    let known: number | undefined | 'waiting' = 'waiting'
    const asked = side.committed(groupId, topic).then((offset) => {
      known = offset
    })
    await side.end(topic, 'hw')
    await side.end(topic, 'hw')
    expect(known).to.equal('waiting')
    await txn.commit()
    await asked
    expect(known).to.equal(5)
    await txn.close()
  })

  it('fences the predecessor: its transaction is aborted and all it does fails, the successor goes on', async () => {
    const [topic, groupId, id] = [await side.topic(), unique('group'), unique('txn')]
    const old = await open(id, 0)
    await send(old, topic, 'lost')
    await old.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 7 }])
    const next = await open(id, 1)
    expect(await side.end(topic, 'lso'), 'settled when the successor is open').to.equal(2)
    expect(await side.committed(groupId, topic)).to.equal(undefined)
    await fails(old.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: 8 }]), 'fenced', 47)
    await fails(old.commit(), 'fenced', 47)
    await send(next, topic, 'kept')
    await next.commit()
    await side.stable(topic, 4)
    expect(await side.values(topic)).to.deep.equal(['kept'])
    await Promise.all([old.close(), next.close()])
  })

  it('fences a predecessor that only writes on', async () => {
    const [topic, id] = [await side.topic(), unique('txn')]
    const old = await open(id, 0)
    await send(old, topic, 'lost')
    const next = await open(id, 1)
    put(old.writer(topic, 0), 'zombie')
    await fails(old.flush(), 'fenced', 47)
    expect(await side.values(topic, { isolation: 'uncommitted' })).to.deep.equal(['lost'])
    await Promise.all([old.close(), next.close()])
  })

  it('lets the successor take over however often', async () => {
    const [topic, id] = [await side.topic(), unique('txn')]
    for (let i = 0; i < 5; i++) {
      const txn = await open(id, i % 2)
      await send(txn, topic, `${i}`)
      await txn.commit()
      await send(txn, topic, `open ${i}`)
    }
    const last = await open(id) // settles what the fifth left open
    expect(await side.values(topic)).to.deep.equal(['0', '1', '2', '3', '4'])
    await last.close()
  })

  it('runs transactions back to back', async () => {
    const [topic, groupId] = [await side.topic(), unique('group')]
    const txn = await open()
    for (let i = 1; i <= 30; i++) {
      put(txn.writer(topic, 0), `${i}`)
      await txn.sendOffsets(NOBODY(groupId), [{ topic, partition: 0, offset: i }])
      if (i % 5 === 0) await txn.abort()
      else await txn.commit()
    }
    await side.stable(topic, 60)
    expect(await side.values(topic)).to.deep.equal(
      Array.from({ length: 30 }, (_, i) => `${i + 1}`).filter((v) => Number(v) % 5 !== 0)
    )
    expect(await side.committed(groupId, topic)).to.equal(29)
    await txn.close()
  })

  it('commits and aborts nothing without a word to the broker', async () => {
    const topic = await side.topic()
    const txn = await open()
    expect(txn.inTransaction).to.equal(false)
    await txn.commit()
    await txn.abort()
    await send(txn, topic, 'a')
    await txn.commit()
    await side.stable(topic, 2)
    expect(await side.values(topic)).to.deep.equal(['a'])
    await txn.close()
  })

  it('refuses a time-out above what the broker allows', async () => {
    await fails(side.transport.txnProducer(unique('txn'), { timeoutMs: 900_001, lane: 0 }), 'fatal', 50)
  })
}
