/** Requests are compared with the bytes kafkajs writes for the same version; answers are written field by field from the definitions. */
import { createRequire } from 'node:module'
import { expect } from 'chai'
import fc from 'fast-check'
import { TransportError } from '../../../lib/errors.ts'
import type { ApiMap } from '../../../lib/kafka/protocol/api.ts'
import { ByteReader, ByteWriter } from '../../../lib/kafka/protocol/bytes.ts'
import { codecs } from '../../../lib/kafka/protocol/requests/index.ts'

const require = createRequire(import.meta.url)

type Api = keyof ApiMap

function encode<A extends Api>(api: A, request: ApiMap[A]['request']): Buffer {
  const to = new ByteWriter(1) // so that growing is exercised
  codecs[api].encode(to, request)
  return to.done()
}

async function byKafkajs(name: string, version: number, request: object): Promise<Buffer> {
  const make = require(`kafkajs/src/protocol/requests/${name}/v${version}/request`) as (r: object) => {
    encode(): Promise<{ buffer: Buffer }>
  }
  return (await make(request).encode()).buffer
}

const member = { groupId: 'g', generation: 3, memberId: 'm-1', instanceId: null }
const txn = { transactionalId: 't', producerId: 5_000_000_000, producerEpoch: 2 }
const offsets = [{ topic: 'a', partitions: [{ partition: 1, offset: 7_000_000_000, metadata: 'x' }] }]

/** [ours, ours as kafkajs wants it, its folder and version]. */
const SAME: { [A in Api]?: [ApiMap[A]['request'], object, string, number] } = {
  Metadata: [{ topics: ['a', 'bé'] }, { topics: ['a', 'bé'], allowAutoTopicCreation: false }, 'metadata', 6],
  FindCoordinator: [
    { key: 'k', type: 'transaction' },
    { coordinatorKey: 'k', coordinatorType: 1 },
    'findCoordinator',
    2
  ],
  Fetch: [
    {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 1_000,
      isolation: 'committed',
      topics: [{ topic: 'a', partitions: [{ partition: 2, offset: 5_000_000_000, maxBytes: 99 }] }]
    },
    {
      replicaId: -1,
      isolationLevel: 1,
      maxWaitTime: 500,
      minBytes: 1,
      maxBytes: 1_000,
      rackId: '',
      topics: [{ topic: 'a', partitions: [{ partition: 2, fetchOffset: '5000000000', maxBytes: 99 }] }]
    },
    'fetch',
    11
  ],
  ListOffsets: [
    { isolation: 'uncommitted', topics: [{ topic: 'a', partitions: [{ partition: 0, timestamp: -1 }] }] },
    { replicaId: -1, isolationLevel: 0, topics: [{ topic: 'a', partitions: [{ partition: 0, timestamp: '-1' }] }] },
    'listOffsets',
    3
  ],
  JoinGroup: [
    {
      groupId: 'g',
      sessionTimeoutMs: 1,
      rebalanceTimeoutMs: 2,
      memberId: '',
      instanceId: 'i',
      protocolType: 'consumer',
      protocols: [{ name: 'p', metadata: Buffer.from([1, 2]) }]
    },
    {
      groupId: 'g',
      sessionTimeout: 1,
      rebalanceTimeout: 2,
      memberId: '',
      groupInstanceId: 'i',
      protocolType: 'consumer',
      groupProtocols: [{ name: 'p', metadata: Buffer.from([1, 2]) }]
    },
    'joinGroup',
    5
  ],
  SyncGroup: [
    { ...member, assignments: [{ memberId: 'm-1', assignment: Buffer.from([9]) }] },
    {
      groupId: 'g',
      generationId: 3,
      memberId: 'm-1',
      groupInstanceId: null,
      groupAssignment: [{ memberId: 'm-1', memberAssignment: Buffer.from([9]) }]
    },
    'syncGroup',
    3
  ],
  Heartbeat: [member, { groupId: 'g', groupGenerationId: 3, memberId: 'm-1', groupInstanceId: null }, 'heartbeat', 3],
  LeaveGroup: [
    { groupId: 'g', members: [{ memberId: 'm', instanceId: 'i' }] },
    { groupId: 'g', members: [{ memberId: 'm', groupInstanceId: 'i' }] },
    'leaveGroup',
    3
  ],
  InitProducerId: [
    { transactionalId: null, timeoutMs: 60_000 },
    { transactionalId: null, transactionTimeout: 60_000 },
    'initProducerId',
    1
  ],
  AddPartitionsToTxn: [
    { ...txn, topics: [{ topic: 'a', partitions: [0, 1] }] },
    { ...txn, producerId: '5000000000', topics: [{ topic: 'a', partitions: [0, 1] }] },
    'addPartitionsToTxn',
    1
  ],
  AddOffsetsToTxn: [{ ...txn, groupId: 'g' }, { ...txn, producerId: '5000000000', groupId: 'g' }, 'addOffsetsToTxn', 1],
  EndTxn: [{ ...txn, commit: true }, { ...txn, producerId: '5000000000', transactionResult: true }, 'endTxn', 1],
  CreateTopics: [
    { timeoutMs: 9, topics: [{ topic: 'a', partitions: 3, replication: 1, config: { 'cleanup.policy': 'compact' } }] },
    {
      timeout: 9,
      validateOnly: false,
      topics: [
        {
          topic: 'a',
          numPartitions: 3,
          replicationFactor: 1,
          configEntries: [{ name: 'cleanup.policy', value: 'compact' }]
        }
      ]
    },
    'createTopics',
    3 // 4 has the same fields
  ],
  DeleteTopics: [{ topics: ['a', 'b'], timeoutMs: 9 }, { topics: ['a', 'b'], timeout: 9 }, 'deleteTopics', 1],
  CreatePartitions: [
    { topic: 'a', total: 4, timeoutMs: 9 },
    { topicPartitions: [{ topic: 'a', count: 4 }], validateOnly: false, timeout: 9 },
    'createPartitions',
    1
  ],
  DeleteRecords: [
    { timeoutMs: 9, topics: [{ topic: 'a', partitions: [{ partition: 0, offset: 12 }] }] },
    { timeout: 9, topics: [{ topic: 'a', partitions: [{ partition: 0, offset: '12' }] }] },
    'deleteRecords',
    1
  ],
  DescribeConfigs: [
    { topic: 'a' },
    { resources: [{ type: 2, name: 'a', configNames: [] }], includeSynonyms: false },
    'describeConfigs',
    2
  ],
  DeleteGroup: [{ groupId: 'g' }, ['g'], 'deleteGroups', 1]
}

describe('request codecs', () => {
  for (const [api, [request, theirs, name, version]] of Object.entries(SAME)) {
    it(`${api} is written as kafkajs writes version ${version}`, async () => {
      const ours = encode(api as Api, request as never)
      expect(ours.toString('hex')).to.equal((await byKafkajs(name, version, theirs)).toString('hex'))
    })
  }

  it('all topics are asked for by a null array, not by an empty one', () => {
    expect(encode('Metadata', { topics: null }).toString('hex')).to.equal('ffffffff00')
    expect(encode('Metadata', { topics: [] }).toString('hex')).to.equal('0000000000')
  })

  it('Produce v7 carries each batch as it is', () => {
    const request = {
      transactionalId: 't',
      timeoutMs: 9,
      topics: [{ topic: 'a', partitions: [{ partition: 2, records: Buffer.from([1, 2, 3]) }] }]
    }
    const at = new ByteReader(encode('Produce', request))
    expect([at.string(), at.int16(), at.int32(), at.int32(), at.string()]).to.deep.equal(['t', -1, 9, 1, 'a'])
    expect([at.int32(), at.int32(), at.bytes(), at.left]).to.deep.equal([1, 2, Buffer.from([1, 2, 3]), 0])
  })

  it('OffsetCommit v7 names the static member', () => {
    const at = new ByteReader(encode('OffsetCommit', { ...member, instanceId: 'i', topics: offsets }))
    expect([at.string(), at.int32(), at.string(), at.string()]).to.deep.equal(['g', 3, 'm-1', 'i'])
    expect([at.int32(), at.string(), at.int32(), at.int32(), at.int64()]).to.deep.equal([1, 'a', 1, 1, 7_000_000_000])
    expect([at.int32(), at.string(), at.left]).to.deep.equal([-1, 'x', 0])
  })

  it('OffsetFetch v7 is flexible and asks for stable offsets', () => {
    const bytes = encode('OffsetFetch', {
      groupId: 'g',
      topics: [{ topic: 'a', partitions: [1] }],
      requireStable: true
    })
    // group; one topic "a": one partition 1, no tags; no tags of the topic; stable; no tags
    expect(bytes.toString('hex')).to.equal('0267' + '02' + '0261' + '02' + '00000001' + '00' + '01' + '00')
    expect(encode('OffsetFetch', { groupId: 'g', topics: null, requireStable: false }).toString('hex')).to.equal(
      '0267000000'
    )
  })

  it('TxnOffsetCommit v3 is flexible and carries the member', () => {
    const bytes = encode('TxnOffsetCommit', { ...txn, ...member, topics: offsets })
    const at = new ByteReader(bytes)
    expect([at.compactString(), at.compactString(), at.int64(), at.int16()]).to.deep.equal(['t', 'g', 5_000_000_000, 2])
    expect([at.int32(), at.compactString(), at.nullableCompactString()]).to.deep.equal([3, 'm-1', null])
    const topics = at.compactArray(() => {
      const topic = at.compactString()
      const partitions = at.compactArray(() => {
        const p = [at.int32(), at.int64(), at.int32(), at.nullableCompactString()]
        at.tags()
        return p
      })
      at.tags()
      return { topic, partitions }
    })
    at.tags()
    expect(topics).to.deep.equal([{ topic: 'a', partitions: [[1, 7_000_000_000, -1, 'x']] }])
    expect(at.left).to.equal(0)
  })

  it('IncrementalAlterConfigs deletes what is null and sets the rest', () => {
    const bytes = encode('IncrementalAlterConfigs', {
      topic: 'a',
      settings: [
        { name: 'x', value: '1' },
        { name: 'y', value: null }
      ]
    })
    const one = '00000001' + '02' + '000161'
    expect(bytes.toString('hex')).to.equal(`${one}000000020001780000013100017901ffff00`)
  })
})

const w = (): ByteWriter => new ByteWriter()
const throttle = (): ByteWriter => w().int32(0)

/** Bytes as the definitions say, and what must come out. */
const ANSWERS: { [A in Api]: [ByteWriter, ApiMap[A]['response']] } = {
  Metadata: [
    throttle()
      .int32(1)
      .int32(1)
      .string('h')
      .int32(9092)
      .string(null)
      .string('cluster')
      .int32(1) // one broker, controller 1
      .int32(1)
      .int16(0)
      .string('a')
      .bool(false)
      .int32(1)
      .int16(5)
      .int32(0)
      .int32(-1) // one topic, one partition without leader
      .int32(1)
      .int32(4)
      .int32(0)
      .int32(0),
    {
      brokers: [{ nodeId: 1, host: 'h', port: 9092 }],
      controllerId: 1,
      topics: [{ error: 0, topic: 'a', partitions: [{ error: 5, partition: 0, leader: -1, replicas: [4], isr: [] }] }]
    }
  ],
  FindCoordinator: [throttle().int16(0).string(null).int32(2).string('h').int32(1), { error: 0, nodeId: 2 }],
  Produce: [
    w()
      .int32(1)
      .string('a')
      .int32(1)
      .int32(3)
      .int16(0)
      .int64(2 ** 40)
      .int64(-1)
      .int64(5)
      .int32(0),
    { topics: [{ topic: 'a', partitions: [{ partition: 3, error: 0, baseOffset: 2 ** 40, logStartOffset: 5 }] }] }
  ],
  Fetch: [
    throttle()
      .int16(0)
      .int32(0)
      .int32(1)
      .string('a')
      .int32(1)
      .int32(3)
      .int16(0)
      .int64(9)
      .int64(8)
      .int64(1)
      .int32(1)
      .int64(77)
      .int64(4)
      .int32(-1)
      .bytes(Buffer.from('batches')),
    {
      error: 0,
      topics: [
        {
          topic: 'a',
          partitions: [
            {
              partition: 3,
              error: 0,
              highWatermark: 9,
              lastStableOffset: 8,
              logStartOffset: 1,
              aborted: [{ producerId: 77, firstOffset: 4 }],
              records: Buffer.from('batches')
            }
          ]
        }
      ]
    }
  ],
  ListOffsets: [
    throttle().int32(1).string('a').int32(1).int32(0).int16(0).int64(-1).int64(12),
    { topics: [{ topic: 'a', partitions: [{ partition: 0, error: 0, timestamp: -1, offset: 12 }] }] }
  ],
  OffsetCommit: [
    throttle().int32(1).string('a').int32(1).int32(0).int16(22),
    { topics: [{ topic: 'a', partitions: [{ partition: 0, error: 22 }] }] }
  ],
  OffsetFetch: [
    throttle()
      .uvarint(2)
      .compactString('a')
      .uvarint(2)
      .int32(0)
      .int64(12)
      .int32(-1)
      .compactString(null)
      .int16(0)
      .tags()
      .uvarint(1)
      .uvarint(7)
      .uvarint(3)
      .raw(Buffer.from('tag')) // a tag of the future
      .int16(0)
      .tags(),
    { error: 0, topics: [{ topic: 'a', partitions: [{ partition: 0, error: 0, offset: 12, metadata: null }] }] }
  ],
  JoinGroup: [
    throttle()
      .int16(0)
      .int32(4)
      .string('p')
      .string('l')
      .string('m')
      .int32(1)
      .string('m')
      .string('i')
      .bytes(Buffer.from('md')),
    {
      error: 0,
      generation: 4,
      protocolName: 'p',
      leader: 'l',
      memberId: 'm',
      members: [{ memberId: 'm', instanceId: 'i', metadata: Buffer.from('md') }]
    }
  ],
  SyncGroup: [throttle().int16(0).bytes(Buffer.from('x')), { error: 0, assignment: Buffer.from('x') }],
  Heartbeat: [throttle().int16(27), { error: 27 }],
  LeaveGroup: [
    throttle().int16(0).int32(1).string('m').string(null).int16(25),
    { error: 0, members: [{ memberId: 'm', instanceId: null, error: 25 }] }
  ],
  InitProducerId: [throttle().int16(0).int64(9).int16(2), { error: 0, producerId: 9, producerEpoch: 2 }],
  AddPartitionsToTxn: [
    throttle().int32(1).string('a').int32(1).int32(0).int16(51),
    { topics: [{ topic: 'a', partitions: [{ partition: 0, error: 51 }] }] }
  ],
  AddOffsetsToTxn: [throttle().int16(0), { error: 0 }],
  TxnOffsetCommit: [
    throttle().uvarint(2).compactString('a').uvarint(2).int32(0).int16(25).tags().tags().tags(),
    { topics: [{ topic: 'a', partitions: [{ partition: 0, error: 25 }] }] }
  ],
  EndTxn: [throttle().int16(47), { error: 47 }],
  CreateTopics: [
    throttle().int32(1).string('a').int16(36).string('exists'),
    { topics: [{ topic: 'a', error: 36, message: 'exists' }] }
  ],
  DeleteTopics: [throttle().int32(1).string('a').int16(0), { topics: [{ topic: 'a', error: 0 }] }],
  CreatePartitions: [throttle().int32(1).string('a').int16(0).string(null), { error: 0, message: null }],
  DeleteRecords: [
    throttle().int32(1).string('a').int32(1).int32(0).int64(5).int16(0),
    { topics: [{ topic: 'a', partitions: [{ partition: 0, lowWatermark: 5, error: 0 }] }] }
  ],
  DescribeConfigs: [
    throttle()
      .int32(1)
      .int16(0)
      .string(null)
      .int8(2)
      .string('a')
      .int32(1)
      .string('k')
      .string('v')
      .bool(false)
      .int8(1)
      .bool(false)
      .int32(1)
      .string('s')
      .string(null)
      .int8(5),
    { error: 0, message: null, entries: [{ name: 'k', value: 'v', isDefault: false }] }
  ],
  IncrementalAlterConfigs: [throttle().int32(1).int16(0).string(null).int8(2).string('a'), { error: 0, message: null }],
  DescribeGroup: [
    throttle()
      .int32(1)
      .int16(0)
      .string('g')
      .string('Stable')
      .string('consumer')
      .string('p')
      .int32(1)
      .string('m')
      .string(null)
      .string('c')
      .string('h')
      .bytes(Buffer.from('md'))
      .bytes(Buffer.from('as'))
      .int32(0),
    {
      error: 0,
      state: 'Stable',
      members: [{ memberId: 'm', instanceId: null, metadata: Buffer.from('md'), assignment: Buffer.from('as') }]
    }
  ],
  DeleteGroup: [throttle().int32(1).string('g').int16(68), { error: 68 }]
}

describe('answers', () => {
  for (const api of Object.keys(ANSWERS) as Api[]) {
    const [writer, expected] = ANSWERS[api]
    const bytes = writer.done()

    it(`${api} is read to its last byte`, () => {
      const from = new ByteReader(bytes)
      expect(codecs[api].decode(from)).to.deep.equal(expected)
      expect(from.left).to.equal(0)
    })

    it(`${api} cut off anywhere is a TransportError`, () => {
      for (let length = 0; length < bytes.length; length++) {
        expect(() => codecs[api].decode(new ByteReader(bytes, 0, length)), `${length} bytes`)
          .to.throw(TransportError)
          .with.property('code', 'ERR_TRANSPORT_MALFORMED')
      }
    })

    it(`${api} of garbage is an error or an object, at once`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 80 }), (garbage) => {
          try {
            expect(codecs[api].decode(new ByteReader(Buffer.from(garbage)))).to.be.an('object')
          } catch (error) {
            expect(error).to.be.instanceOf(TransportError)
          }
        }),
        { numRuns: 200 }
      )
    })
  }

  it('records of a Fetch are a view into the answer', () => {
    const bytes = ANSWERS.Fetch[0].done()
    const { topics } = codecs.Fetch.decode(new ByteReader(bytes))
    expect(topics[0]!.partitions[0]!.records.buffer).to.equal(bytes.buffer)
  })

  it('large batches of a Produce are sent from where they lie, the bytes as if they had been copied', () => {
    const [large, small] = [Buffer.alloc(10_000, 7), Buffer.alloc(100, 9)]
    const request = (first: Buffer, second: Buffer): ApiMap['Produce']['request'] => ({
      transactionalId: 't',
      timeoutMs: 5,
      topics: [{ topic: 'a', partitions: [first, second, first].map((records, partition) => ({ partition, records })) }]
    })
    const to = new ByteWriter()
    codecs.Produce.encode(to, request(large, small))
    const pieces = to.pieces()
    expect(pieces.filter((piece) => piece === large)).to.have.length(2)
    expect(Buffer.concat(pieces).equals(to.done())).to.equal(true)
    expect(to.length).to.equal(to.done().length)
    const fields = encode('Produce', request(Buffer.alloc(0), small)) // nothing in it is large
    const size = Buffer.alloc(4)
    size.writeInt32BE(large.length)
    const none = fields.length - 100 - 4 - 4 - 4 - 4 - 4 // where the first length stands
    const body = Buffer.concat([size, large])
    const expected = Buffer.concat([
      ...[fields.subarray(0, none), body, fields.subarray(none + 4, fields.length - 4), body]
    ])
    expect(to.done().equals(expected)).to.equal(true)
  })

  it('a length of two gigabytes allocates nothing', () => {
    const bytes = new ByteWriter().int32(0).int32(0x7fffffff).done()
    expect(() => codecs.DeleteTopics.decode(new ByteReader(bytes))).to.throw(TransportError, '2147483647')
  })

  it('a number beyond 2^53 is refused, not rounded', () => {
    const bytes = Buffer.from('00000000' + '0000' + '7fffffffffffffff' + '0001', 'hex')
    expect(() => codecs.InitProducerId.decode(new ByteReader(bytes))).to.throw(TransportError, '2^53')
  })

  it('64-bit fields hold any safe integer', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        expect(new ByteReader(new ByteWriter().int64(n).done()).int64()).to.equal(n)
      })
    )
  })
})
