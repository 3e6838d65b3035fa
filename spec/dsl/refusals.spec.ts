/** What a topology refuses while it is built: each with its code, and a message that says what is wrong and how to mend it. */
import { expect } from 'chai'
import {
  hopping,
  keyValueStore,
  session,
  sliding,
  topic,
  topology,
  tumbling,
  unlimited,
  windowStore
} from '../../lib/dsl/index.ts'
import { json, long, string } from '../../lib/serde/index.ts'

const words = topic('words', string())
const others = topic('others', string())
const make = () => {
  const t = topology()
  return { t, stream: t.stream(words), other: t.stream(others), grouped: t.stream(words).groupByKey() }
}
type Made = ReturnType<typeof make>
const pair = (a: string, b: string): string => a + b

const REFUSED: Record<string, Record<string, readonly [define: (made: Made) => unknown, message: RegExp]>> = {
  ERR_TOPOLOGY_WINDOW: {
    'windows without a size': [
      () => tumbling(0),
      /size of tumbling windows is 0: it must be whole milliseconds, at least 1/
    ],
    'a size that is no duration': [() => tumbling('5 minutes' as '5m'), /size of tumbling windows cannot work: /],
    'fractions of a millisecond': [() => sliding(0.5), /time difference of sliding windows is 0\.5: it must be whole/],
    'a negative grace': [
      () => hopping('1h', { advance: '5m', grace: -1 }),
      /grace of hopping windows cannot work: .*-1/
    ],
    'hopping windows with holes': [
      () => hopping('5m', { advance: '6m' }),
      /advance by 6m: records between two windows would be lost\. Advance by at most/
    ],
    'sessions without a gap': [() => session(0), /gap of sessions is 0: .*at least 1/],
    'an unlimited window from nowhere': [() => unlimited({ start: -1 }), /starts at -1: it must be/],
    'the unlimited window on close': [
      ({ grouped }) => grouped.windowedBy(unlimited(), { emit: 'close' }),
      /never does\. Leave emit/
    ],
    'a retention below size and grace': [
      ({ grouped }) => grouped.windowedBy(tumbling('1h', { grace: '1h' })).count({ retention: '90m' }),
      /keeps its windows for 90m, which is less than size \+ grace \(7200000 ms\).*Keep them for at least/
    ],
    'a retention below what sliding windows need': [
      ({ grouped }) => grouped.windowedBy(sliding('1h')).count({ retention: '1h' }),
      /less than 2 × time difference \+ grace/
    ],
    'a window store that forgets open windows': [
      () => windowStore('days', { key: string(), value: long(), size: '1d', retention: '1h' }),
      /less than the size of its windows/
    ],
    'rows that never live': [
      () => keyValueStore('seen', { key: string(), value: long(), ttl: 0 }),
      /ttl of store "seen" is 0: .*at least 1/
    ],
    'a history with a time to live': [
      ({ t }) => t.table(topic('rows', string()), { versioned: '1h', ttl: '1h' }),
      /cannot be versioned and have a ttl: .*Choose one/
    ],
    'a join that nothing can match': [
      ({ stream, other }) => stream.join(other, pair, { within: { before: '1m', after: -60_001 } }),
      /nothing can ever match\. before \+ after must be at least 0/
    ],
    'a join with a negative grace': [
      ({ stream, other }) => stream.join(other, pair, { within: { before: 1, after: 1, grace: -1 } }),
      /and grace too/
    ],
    'a grace on a table without history': [
      ({ t, stream }) => stream.join(t.table(topic('rows', string())), pair, { grace: '1h' }),
      /must be versioned: .*table\(topic, \{ versioned: '1h' \}\)/
    ],
    'a grace beyond the history': [
      ({ t, stream }) => stream.join(t.table(topic('rows', string()), { versioned: '1m' }), pair, { grace: '1h' }),
      /history is 60000 ms: .*Raise `versioned`/
    ],
    'suppress until close without windows': [
      ({ grouped }) => grouped.count().suppress({ until: 'close' }),
      /none that do\. Use it behind windowedBy\(…\), or give it a time/
    ],
    'suppress until the unlimited window closes': [
      ({ grouped }) => grouped.windowedBy(unlimited()).count().suppress({ until: 'close' }),
      /none that do/
    ],
    'final results that go on early': [
      ({ grouped }) =>
        grouped.windowedBy(tumbling(1)).count().suppress({ until: 'close', full: 'emit', maxRecords: 1 }),
      /only final results, which .* would break\. Use \{ full: 'fail' \}/
    ]
  },
  ERR_TOPOLOGY_SERDE: {
    'a topic without the serde of its values': [
      () => topic('words', undefined as never),
      /topic\('words'\) \(.*refusals\.spec\.ts:\d+\) needs the serde of its values, e\.g\. topic\('words', json\(\)\)/
    ],
    'a topic with the serde of its keys alone': [
      () => topic(/words/, { key: string() } as never),
      /topic\(\/words\/\) .*needs the serde of its values/
    ],
    'a grouping by a changed key without its serde': [
      ({ stream }) => stream.selectKey(({ value }) => value).groupByKey(),
      /groupByKey.* needs the serde of the key, which was changed upstream .*\{ key: string\(\) \}/
    ],
    'a repartition without it': [
      ({ stream }) => stream.selectKey(({ value }) => value).repartition(),
      /needs the serde of the key/
    ],
    'a join without it': [
      ({ stream, other }) => stream.selectKey(({ value }) => value).join(other, pair, { within: 1 }),
      /needs the serde of the key/
    ],
    'a table without it': [
      ({ stream }) => stream.selectKey(({ value }) => value).toTable(),
      /needs the serde of the key/
    ],
    'output of values without it': [
      ({ stream }) => stream.mapValues((v) => v.length).to('out'),
      /needs the serde of the value.*topic\(name, \{ key, value \}\), or add \{ value: json\(\) \}/
    ]
  },
  ERR_TOPOLOGY_DUPLICATE: {
    'two operators of one name': [
      ({ stream }) => [stream.filter(() => true, { name: 'same' }), stream.filter(() => true, { name: 'same' })],
      /"same" is used twice: at .*refusals\.spec\.ts:\d+ and at .*refusals\.spec\.ts:\d+\. Give one of them another name/
    ],
    'two stores of one name': [
      ({ grouped }) => [grouped.count({ name: 'counts' }), grouped.count({ name: 'counts' })],
      /"counts" is used twice/
    ],
    'two repartition topics of one name': [
      ({ stream }) => [stream.repartition({ name: 'spread' }), stream.repartition({ name: 'spread' })],
      /"spread" is used twice/
    ]
  },
  ERR_TOPOLOGY_SOURCE: {
    'a topic read with other serdes': [({ t }) => t.stream(topic('words', json())), /"words" is read twice, with dif/]
  },
  ERR_TOPOLOGY_NAME: {
    'names that no topic can have': [
      ({ grouped }) => grouped.count({ name: 'per day' }),
      /"per day" .* is not a valid name: use 1 to 249/
    ]
  },
  ERR_TOPOLOGY_PARTITIONS: {
    'no partitions': [
      ({ stream }) => stream.repartition({ partitions: 0 }),
      /asks for 0 partitions: it must be a whole number of at least 1/
    ]
  },
  ERR_TOPOLOGY_EMPTY: {
    nothing: [() => topology().build('job'), /The topology is empty: read a topic/]
  },
  ERR_TOPOLOGY: {
    'no calls at once': [({ stream }) => stream.mapAsync(async (v) => v, { concurrency: 0 }), /concurrency/],
    'a table of another topology': [
      ({ stream }) => stream.join(topology().table(topic('rows', string())), pair),
      /table of another topology: build both from one/
    ],
    'a stream of another topology': [
      ({ stream }) => stream.merge(topology().stream(others)),
      /stream of another topology: build both from one/
    ]
  },
  ERR_OPTION: {
    'a buffer for nothing': [
      ({ grouped }) => grouped.count().suppress({ until: '1m', maxRecords: 0 }),
      /maxRecords 0: it must be a whole number of at least 1/
    ]
  }
}

describe('A topology refuses while it is built', () => {
  for (const [code, cases] of Object.entries(REFUSED)) {
    for (const [title, [define, message]] of Object.entries(cases)) {
      it(`${title}: ${code}`, () => {
        let refused: unknown
        try {
          define(make())
        } catch (error) {
          refused = error
        }
        expect(refused).to.be.instanceOf(Error)
        expect((refused as { code: string }).code).to.equal(code)
        expect((refused as Error).message).to.match(message)
      })
    }
  }
})
