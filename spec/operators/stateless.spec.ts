/** Stateless operators, each as its doc comment says, through the driver. */
import { expect } from 'chai'
import { topic, topology } from '../../lib/dsl/index.ts'
import { DecodeError, EncodeError, ProcessingError, TopologyError } from '../../lib/errors.ts'
import type { Headers } from '../../lib/record.ts'
import { json, nullable, string } from '../../lib/serde/index.ts'
import { type Driver, drive } from '../../lib/testing/drive.ts'

interface Flight {
  origin: string
  delay: number
}
const flights = topic('flights', { key: string(), value: json<Flight>() })
const lines = topic('lines', { key: nullable(string()), value: nullable(string()) })
const out = topic('out', { key: string(), value: json<unknown>() })
const texts = topic('texts', { key: nullable(string()), value: nullable(string()) })

const pairs = (d: Driver, name = 'out'): [unknown, unknown][] => d.output(name).map(({ key, value }) => [key, value])

describe('stateless operators', () => {
  it('filter and filterNot part the records; map, selectKey and flatMap change keys; mapValues and flatMapValues keep them', async () => {
    const t = topology()
    const source = t.stream(flights)
    source.filter(({ value }) => value.delay > 15).to('late')
    source.filterNot(({ value }) => value.delay > 15).to('on-time')
    source.map(({ key, value }) => ({ key: value.origin, value: `${key}!` })).to(topic('mapped', string()))
    source.mapValues(({ delay }, { key }) => `${key}:${delay}`).to(topic('values', string()))
    source.selectKey(({ value }) => value.origin, { key: string() }).to('selected')
    source.flatMap(({ value }) => [1, 2].map((n) => ({ key: value.origin, value: n }))).to(out)
    source.flatMapValues(({ delay }) => [delay, -delay]).to(topic('flat', json<number>()))
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 20 }, { timestamp: 5 })
    await d.send(flights, 'b', { origin: 'SFO', delay: 1 }, { timestamp: 6 })
    expect(pairs(d, 'late')).to.deep.equal([['a', { origin: 'JFK', delay: 20 }]])
    expect(pairs(d, 'on-time')).to.deep.equal([['b', { origin: 'SFO', delay: 1 }]])
    expect(pairs(d, 'mapped')).to.deep.equal([
      ['JFK', 'a!'],
      ['SFO', 'b!']
    ])
    expect(pairs(d, 'values')).to.deep.equal([
      ['a', 'a:20'],
      ['b', 'b:1']
    ])
    expect(pairs(d, 'selected')).to.deep.equal([
      ['JFK', { origin: 'JFK', delay: 20 }],
      ['SFO', { origin: 'SFO', delay: 1 }]
    ])
    expect(pairs(d)).to.deep.equal([
      ['JFK', 1],
      ['JFK', 2],
      ['SFO', 1],
      ['SFO', 2]
    ])
    expect(pairs(d, 'flat')).to.deep.equal([
      ['a', 20],
      ['a', -20],
      ['b', 1],
      ['b', -1]
    ])
  })

  it('keep time and headers of the input', async () => {
    const headers: Headers = [['trace', Buffer.from('7')]]
    const t = topology()
    t.stream(flights)
      .map(({ key }) => ({ key, value: 1 }))
      .mapValues((n) => n + 1)
      .to(out)
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 1 }, { timestamp: 77, headers })
    expect(d.output(out)).to.deep.equal([{ topic: 'out', key: 'a', value: 2, timestamp: 77, headers }])
  })

  it('pass null keys and null values', async () => {
    const t = topology()
    t.stream(lines)
      .filter(() => true)
      .mapValues((v) => v, { value: nullable(string()) })
      .to(texts)
    const d = await drive(t)
    await d.send(lines, null, 'x')
    await d.send(lines, 'k', null)
    expect(pairs(d, 'texts')).to.deep.equal([
      [null, 'x'],
      ['k', null]
    ])
    expect(d.dropped).to.deep.equal([])
  })

  it('decode nothing that nobody reads', async () => {
    const fragile = { ...json<Flight>(), decode: () => expect.fail('decoded') }
    const t = topology()
    t.stream(topic('flights', { key: string(), value: fragile }))
      .filter(({ key }) => key === 'b')
      .foreach(() => {})
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 1 })
  })

  it('peek sees each record and passes it on; foreach ends the stream', async () => {
    const seen: string[] = []
    const t = topology()
    const s = t.stream(flights).peek(({ key }) => seen.push(`peek ${key}`))
    s.foreach(({ key }) => seen.push(`foreach ${key}`))
    s.to('copy')
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 1 })
    expect(seen).to.deep.equal(['peek a', 'foreach a'])
    expect(pairs(d, 'copy')).to.have.length(1)
  })

  it('merge passes both, split gives each record to the first branch that wants it', async () => {
    const more = topic('more', { key: string(), value: flights.value })
    const t = topology()
    const { late, early, rest } = t
      .stream(flights)
      .merge(t.stream(more))
      .split(
        { late: ({ value }) => value.delay > 10, early: ({ value }) => value.delay !== 0 },
        { otherwise: 'rest', name: 'by-delay' }
      )
    late.to('late')
    early.to('early')
    rest.to('rest')
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 11 })
    await d.send(more, 'b', { origin: 'JFK', delay: -1 })
    await d.send(more, 'c', { origin: 'JFK', delay: 0 })
    expect(d.outputs().map(({ topic, key }) => `${topic} ${key}`)).to.deep.equal(['late a', 'early b', 'rest c'])
    expect(() => t.stream(flights).split({ 7: () => true })).to.throw(TopologyError, 'moves such names')
  })

  it('repartition passes records with their time and headers, drops null keys, passes null values', async () => {
    const headers: Headers = [['trace', Buffer.from('7')]]
    const t = topology()
    t.stream(lines).repartition({ name: 'spread' }).to(texts)
    const d = await drive(t)
    await d.send(lines, 'a', 'x', { timestamp: 7, headers })
    await d.send(lines, null, 'y')
    await d.send(lines, 'b', null, { timestamp: 8 })
    expect(d.output(texts)).to.deep.equal([
      { topic: 'texts', key: 'a', value: 'x', timestamp: 7, headers },
      { topic: 'texts', key: 'b', value: null, timestamp: 8, headers: [] }
    ])
    expect(d.dropped).to.deep.equal(['null-key'])
  })

  it('to() chooses a topic per record when given a function', async () => {
    const t = topology()
    t.stream(flights).to(({ value }) => `from-${value.origin}`)
    const d = await drive(t)
    await d.send(flights, 'a', { origin: 'JFK', delay: 1 })
    expect(pairs(d, 'from-JFK')).to.have.length(1)
  })

  it('take the event time from the extractor and skip negative ones', async () => {
    const timed = topic('timed', { value: json<{ at: number }>(), timestamp: ({ value }) => value.at })
    const t = topology()
    t.stream(timed).to('copy')
    const d = await drive(t)
    await d.send(timed, 'a', { at: 500 }, { timestamp: 1 })
    await d.send(timed, 'a', { at: -1 }, { timestamp: 1 })
    expect(d.output('copy').map((r) => r.timestamp)).to.deep.equal([500])
    expect(d.dropped).to.deep.equal(['negative-timestamp'])
  })
})

describe('failures in operators', () => {
  const failing = async (fn: (d: Driver) => Promise<void>, t: ReturnType<typeof topology>): Promise<Error> => {
    const d = await drive(t)
    return fn(d).then(
      () => expect.fail('no failure'),
      (error: Error) => error
    )
  }

  it('carry node, topic, partition, offset and what was thrown', async () => {
    const t = topology()
    const cause = new Error('no such airport')
    t.stream(flights)
      .peek(() => {})
      .mapValues(
        () => {
          throw cause
        },
        { name: 'enrich' }
      )
      .to(out)
    const error = (await failing((d) => d.send(flights, 'a', { origin: '?', delay: 0 }), t)) as ProcessingError
    expect(error).to.be.instanceOf(ProcessingError)
    expect(error.code).to.equal('ERR_PROCESSING')
    expect(error.cause).to.equal(cause)
    expect(error.details).to.deep.equal({ node: 'enrich', topic: 'flights', partition: 0, offset: 0 })
    expect(error.message).to.contain('no such airport').and.contain('offset 0')
  })

  it('name the node of a rejected promise, not the one above it', async () => {
    const t = topology()
    t.stream(flights)
      .peek(() => {})
      .process(async () => Promise.reject(new Error('later')), { name: 'slow' })
      .to(out)
    const error = (await failing((d) => d.send(flights, 'a', { origin: '?', delay: 0 }), t)) as ProcessingError
    expect(error.details.node).to.equal('slow')
  })

  it('keep their class when bytes do not decode or a value does not encode', async () => {
    const t = topology()
    t.stream(flights)
      .mapValues(() => 10n)
      .to(out)
    const encode = (await failing((d) => d.send(flights, 'a', { origin: '?', delay: 0 }), t)) as EncodeError
    expect(encode).to.be.instanceOf(EncodeError)
    expect(encode.details).to.include({ node: 'flights-to', topic: 'flights', offset: 0 })
    const t2 = topology()
    t2.stream(flights)
      .filter(({ value }) => value.delay > 0, { name: 'late-only' })
      .to('x')
    const raw = topic('flights', { key: string(), value: string() })
    const decode = (await failing((d) => d.send(raw, 'a', '{oops'), t2)) as DecodeError
    expect(decode).to.be.instanceOf(DecodeError)
    expect(decode.details).to.include({ node: 'late-only', topic: 'flights', partition: 0, offset: 0, part: 'value' })
  })
})
