/** Which changes of a topology its state survives, and which are told as misfits: pure comparisons of two versions. */
import { expect } from 'chai'
import {
  type Duration,
  int,
  json,
  keyValueStore,
  long,
  session,
  sliding,
  string,
  type TopologyBuilder,
  topic,
  topology,
  tumbling,
  windowed
} from '../../actors/index.ts'
import { misfits, shapesOf } from '../../lib/topology/shape.ts'

const words = topic('words', string())
const schema = { '~standard': { vendor: 'zod', validate: (value: unknown) => ({ value: value as { n: number } }) } }

type Change = (t: TopologyBuilder) => void

/** What is said about the second version over the state of the first. */
function told(first: Change, second: Change): string[] {
  const [before, now] = [topology(), topology()]
  first(before)
  second(now)
  return misfits(shapesOf(before.build('job')), shapesOf(now.build('job')))
}
const counting =
  (options: Parameters<ReturnType<ReturnType<TopologyBuilder['stream']>['groupByKey']>['count']>[0]): Change =>
  (t) =>
    void t.stream(words).groupByKey().count(options)
const windows =
  (size: Duration, grace: Duration): Change =>
  (t) =>
    void t.stream(words).groupByKey().windowedBy(tumbling(size, { grace })).count({ name: 'counts' })

describe('A topology over the state of its last version', () => {
  it('fits when nothing changed that bytes depend on', () => {
    expect(told(counting({ name: 'counts' }), counting({ name: 'counts', caching: false }))).to.deep.equal([])
    expect(told(windows('5m', '1h'), windows('5m', '30m')), 'a shorter grace').to.deep.equal([])
    const values =
      (value = json<{ n: number }>()): Change =>
      (t) =>
        void t
          .stream(words)
          .groupByKey()
          .aggregate(
            () => ({ n: 0 }),
            (a) => a,
            { name: 'a', value }
          )
    expect(told(values(), values(json(schema))), 'a schema over the same JSON').to.deep.equal([])
  })

  it('fits when a name keeps its place and operators come upstream, beside and behind it', () => {
    const more: Change = (t) => {
      const stream = t
        .stream(words)
        .filter((r) => r.value !== '')
        .mapValues((v) => v.trim())
      t.stream(topic('others', string())).groupByKey().count()
      stream.groupByKey().count().toStream().to(topic('out', long()))
    }
    const plain: Change = (t) => t.stream(words).groupByKey().count().toStream().to(topic('out', long()))
    expect(told(plain, more)).to.deep.equal([])
  })

  it('is told of another kind, another serde, windows of another size', () => {
    const sessions: Change = (t) =>
      void t.stream(words).groupByKey().windowedBy(session('5m')).count({ name: 'counts' })
    const slid: Change = (t) => void t.stream(words).groupByKey().windowedBy(sliding('5m')).count({ name: 'counts' })
    expect(told(windows('5m', 0), sessions)[0]).to.match(/^The store "counts": it is of kind session now, was window;/)
    expect(told(windows('5m', 0), slid)[0]).to.match(
      /its values are windows of long now, were long; its windows span 600002 now, were 300000/
    )
    expect(told(windows('5m', 0), windows('10m', 0))[0]).to.match(/its windows span 600000 now, were 300000/)
    expect(told(counting({ name: 'counts' }), counting({ name: 'counts', value: int() }))).to.deep.equal([
      'The store "counts": its values are int now, were long.'
    ])
    const keyed =
      (key: typeof words.key | ReturnType<typeof windowed<string>>): Change =>
      (t) =>
        void t.stream(words).process(() => {}, {
          stores: [keyValueStore('seen', { key: key as never, value: int() })],
          name: 'p'
        })
    expect(told(keyed(string()), keyed(windowed(string(), '1m')))).to.deep.equal([
      'The store "seen": its keys are windowed(string, 60000) now, were string.'
    ])
  })

  it('is told of windows and versions that shall be kept for longer than the state has them, and of a new time to live', () => {
    expect(told(windows('5m', '30m'), windows('5m', '1h'))[0]).to.match(
      /windows are kept for 3900000 ms now, were for 2100000 ms/
    )
    const history =
      (versioned: Duration): Change =>
      (t) =>
        void t.table(words, { versioned, name: 'rows' })
    expect(told(history('1h'), history('2h'))[0]).to.match(/versions are kept for 7200000 ms now/)
    expect(told(history('2h'), history('1h'))).to.deep.equal([])
    expect(told(counting({ name: 'counts' }), counting({ name: 'counts', ttl: '1h' }))[0]).to.match(
      /have a time to live now/
    )
    expect(told(counting({ name: 'counts', ttl: '2h' }), counting({ name: 'counts', ttl: '1h' }))).to.deep.equal([])
  })

  it('is told of a store that has moved: none of the topics that fed it is left, so its keys lie in other partitions', () => {
    const rekeyed: Change = (t) =>
      void t
        .stream(words)
        .groupBy((r) => r.value, { key: string(), name: 'by-word' })
        .count({ name: 'counts' })
    expect(told(counting({ name: 'counts' }), rekeyed)).to.deep.equal([
      'The store "counts": it is fed from job-by-word-repartition now, was from words.'
    ])
    const merged: Change = (t) =>
      void t
        .stream(words)
        .merge(t.stream(topic('more', string())))
        .groupByKey()
        .count({ name: 'counts' })
    expect(told(counting({ name: 'counts' }), merged), 'one more source').to.deep.equal([])
  })

  it('is told when one of several with the same derived name comes or goes: the others may have changed places', () => {
    const counts =
      (...names: (string | undefined)[]): Change =>
      (t) => {
        for (const name of names)
          t.stream(words)
            .groupByKey()
            .count(name === undefined ? {} : { name })
      }
    const text =
      /^The store "words-count": it is one of 2 with that derived name now, was one of 1, and which is which nobody knows\.$/
    expect(told(counts(undefined), counts(undefined, undefined))).to.have.length(1)
    expect(told(counts(undefined), counts(undefined, undefined))[0]).to.match(text)
    expect(told(counts(undefined, undefined), counts(undefined))[0]).to.match(/one of 1 .* was one of 2/)
    expect(told(counts(undefined), counts('new', 'words-count')), 'named, both').to.deep.equal([])
    expect(told(counts(undefined, undefined), counts(undefined, undefined))).to.deep.equal([])
  })

  it('is told when a derived name may be a new one of a store or topic that is gone; a given name settles it', () => {
    const plain: Change = (t) => void t.stream(words).groupByKey().count()
    const spread =
      (name?: string): Change =>
      (t) =>
        void t
          .stream(words)
          .repartition({ name: 'spread' })
          .groupByKey()
          .count(name === undefined ? {} : { name })
    expect(told(plain, spread())).to.deep.equal([
      'The store "spread-count": its name is derived, and may be a new one of the store "words-count", which is gone.'
    ])
    expect(told(plain, spread('counts'))).to.deep.equal([])
    const keyed =
      (anchor: string): Change =>
      (t) =>
        void t
          .stream(topic(anchor, string()))
          .groupBy((r) => r.value, { key: string() })
          .count({ name: 'counts' })
    expect(told(keyed('words'), keyed('terms'))[0]).to.match(/"counts": it is fed from job-terms-by-repartition now/)
    expect(told(keyed('words'), keyed('terms'))[1]).to.match(/^The repartition topic "terms-by": its name is derived/)
  })
})
