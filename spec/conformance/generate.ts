/** Draws random cases: topologies that are well typed, inputs with disorder, nulls, late records, jumps of time and several keys. */
import { type Random, seededRandom } from '../../lib/time.ts'
import { has, isFilter, isTable } from '../interop/differences.ts'
import type { Any, CaseInput, Expression } from './format.ts'

export interface Generated {
  topology: Expression
  inputs: CaseInput[]
}

/** What the values at a node are. `fk` is text with a foreign key behind a bar. */
type Type = 'text' | 'number' | 'fk'

interface Drawn {
  e: Expression
  type: Type
  /** Its keys have windows: it can be the root, or be grouped anew. */
  windowed?: boolean
}

const TOPICS: Record<'stream' | 'table', Record<Type, string[]>> = {
  stream: { text: ['s1', 's2'], number: ['n1', 'n2'], fk: ['f1'] },
  table: { text: ['t1', 't2', 't3', 't4'], number: ['m1', 'm2'], fk: ['g1'] }
}

export function generate(random: Random): Generated {
  const draw = new Draw(random)
  const topology = draw.root()
  return { topology, inputs: draw.inputs(topology) }
}

/** Case number `index` of a seed. */
export const draw = (seed: number, index: number): Generated => generate(seededRandom((seed * 1_000_003 + index) >>> 0))

class Draw {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n)
  }

  #one<T>(items: readonly T[]): T {
    return items[this.#below(items.length)]!
  }

  #chance(p: number): boolean {
    return this.#random() < p
  }

  root(): Expression {
    for (;;) {
      const { e } = this.#chance(0.5) ? this.#stream(3) : this.#table(3)
      if (!has(e, meetsItself) && !has(e, holdsFiltered)) return e
    }
  }

  #type(): Type {
    return this.#one(['text', 'text', 'number'])
  }

  #stream(depth: number, type: Type = this.#type()): Drawn {
    const source = (): Drawn => ({ e: { op: 'stream', topic: this.#one(TOPICS.stream[type]) }, type })
    if (depth === 0) return source()
    const kinds: (() => Drawn)[] = [
      source,
      () => this.#mapped(depth, type),
      () => this.#streamJoin(depth),
      () => this.#tableJoin(depth)
    ]
    if (depth === 3)
      kinds.push(
        () => this.#windowedStream(),
        () => this.#windowedStream(),
        () => this.#streamJoin(depth),
        () => this.#tableJoin(depth)
      )
    kinds.push(() => this.#changes(depth, type))
    for (;;) {
      const drawn = this.#one(kinds)()
      if (depth === 3 || drawn.type === type) return drawn
    }
  }

  /** A table's changes as a stream. */
  #changes(depth: number, type: Type): Drawn {
    const table = this.#table(depth - 1, type)
    return { e: { op: 'toStream', in: table.e }, type: table.type }
  }

  #mapped(depth: number, type: Type): Drawn {
    const { e } = this.#stream(depth - 1, type)
    const same: Expression[] = [
      { op: 'filter', in: e, where: 'positive' },
      { op: 'filterNot', in: e, where: 'positive' },
      { op: 'map', in: e, fn: 'identity' },
      { op: 'selectKey', in: e, fn: this.#by(type) },
      { op: 'repartition', in: e },
      { op: 'flatMapValues', in: e, fn: 'identity' }
    ]
    const other = this.#stream(depth - 1, type).e
    if (JSON.stringify(e) !== JSON.stringify(other)) same.push({ op: 'merge', in: [e, other] }) // see interop/differences.ts
    if (type === 'text')
      same.push({ op: 'mapValues', in: e, fn: 'upper' }, { op: 'mapValues', in: e, fn: 'firstLetter' })
    return { e: this.#one(same), type }
  }

  /** A function whose results are good keys. */
  #by(type: Type): Any {
    if (type === 'number') return this.#one(['parity', 'key', { const: 'one' }])
    return this.#one(['value', 'firstLetter', 'key', { const: 'one' }])
  }

  #streamJoin(depth: number): Drawn {
    const left = this.#stream(depth - 1, 'text')
    const right = this.#chance(0.15) ? left : this.#stream(depth - 1, 'text')
    const how = this.#one(['inner', 'left', 'outer'])
    const before = this.#one([0, 3, 10, 10, -2])
    const after = this.#one([0, 3, 5, 10, 10])
    const window = {
      beforeMs: before,
      afterMs: Math.max(after, -before),
      graceMs: this.#one([0, 0, 2, 5, 20])
    }
    return { e: { op: 'join', how, left: left.e, right: right.e, window, joiner: this.#joiner() }, type: 'text' }
  }

  #tableJoin(depth: number): Drawn {
    const left = this.#stream(depth - 1, 'text')
    const how = this.#one(['inner', 'left'])
    const joiner = this.#joiner()
    if (this.#chance(0.2)) {
      const right = { op: 'globalTable', topic: 'global' }
      const key = this.#one(['key', 'value', 'firstLetter'])
      return { e: { op: 'join', how, left: left.e, right, key, joiner }, type: 'text' }
    }
    if (this.#chance(0.3)) {
      const right = { op: 'table', topic: 'v1', versionedMs: this.#one([10, 30, 100]) }
      const graceMs = this.#chance(0.5) ? { graceMs: this.#one([0, 3, 10]) } : {}
      return { e: { op: 'join', how, left: left.e, right, joiner, ...graceMs }, type: 'text' }
    }
    const right = this.#table(depth - 1, 'text')
    return { e: { op: 'join', how, left: left.e, right: right.e, joiner }, type: 'text' }
  }

  #joiner(): string {
    return this.#one(['dash', 'plus', 'pair', 'glue'])
  }

  #table(depth: number, type: Type = this.#type()): Drawn {
    const source = (): Drawn => ({ e: { op: 'table', topic: this.#one(TOPICS.table[type]) }, type })
    if (depth === 0) return source()
    const kinds: (() => Drawn)[] = [
      source,
      () => this.#aggregate(depth),
      () => this.#regrouped(depth),
      () => this.#mappedTable(depth, type)
    ]
    kinds.push(() => ({ e: { op: 'toTable', in: this.#stream(depth - 1, type).e }, type }))
    kinds.push(
      () => this.#tables(depth),
      () => this.#foreign(depth),
      () => this.#held(depth, type)
    )
    if (depth === 3)
      kinds.push(
        () => this.#windows(),
        () => this.#windows()
      )
    for (;;) {
      const drawn = this.#one(kinds)()
      if (depth === 3 || drawn.type === type) return drawn
    }
  }

  #mappedTable(depth: number, type: Type): Drawn {
    const { e } = this.#table(depth - 1, type)
    const same: Expression[] = [
      { op: 'filter', in: e, where: 'positive' },
      { op: 'filterNot', in: e, where: 'positive' }
    ]
    if (type === 'text')
      same.push({ op: 'mapValues', in: e, fn: 'upper' }, { op: 'mapValues', in: e, fn: 'firstLetter' })
    return { e: this.#one(same), type }
  }

  #tables(depth: number): Drawn {
    const left = this.#table(depth - 1, 'text')
    let right = this.#table(depth - 1, 'text')
    // Tables that share a source: Kafka Streams gives results twice. Only where that can be told from a fault.
    while (shares(left.e, right.e) && !(depth === 3 && this.#chance(0.2))) right = this.#table(depth - 1, 'text')
    const how = this.#one(['inner', 'left', 'outer'])
    return { e: { op: 'join', how, left: left.e, right: right.e, joiner: this.#joiner() }, type: 'text' }
  }

  #foreign(depth: number): Drawn {
    const left = { op: 'table', topic: 'g1' }
    let right = this.#table(depth - 1, 'text')
    while (shares(left, right.e)) right = this.#table(depth - 1, 'text')
    const how = this.#one(['inner', 'left'])
    return {
      e: { op: 'foreignKeyJoin', how, left, right: right.e, fk: 'afterBar', joiner: this.#joiner() },
      type: 'text'
    }
  }

  #held(depth: number, type: Type): Drawn {
    const table = this.#table(depth - 1, type)
    const bound = this.#chance(0.3) ? { maxRecords: this.#one([1, 2]), full: 'emit' } : {}
    return { e: { op: 'suppress', in: table.e, until: { ms: this.#one([0, 2, 10]) }, ...bound }, type }
  }

  #grouped(depth: number): Drawn {
    const { e, type } = this.#stream(depth - 1)
    if (this.#chance(0.5)) return { e: { op: 'groupByKey', in: e }, type }
    return { e: { op: 'groupBy', in: e, by: this.#by(type) }, type }
  }

  #aggregate(depth: number): Drawn {
    const { e, type } = this.#grouped(depth)
    return this.#folded(
      e,
      type,
      type === 'number'
        ? ['count', 'sum', 'max', 'min', 'concat', 'plus', 'last']
        : ['count', 'concat', 'list', 'glue', 'last']
    )
  }

  /** Aggregates of a grouped table: only those with a way back. */
  #regrouped(depth: number): Drawn {
    const { e, type } = this.#table(depth - 1)
    const by = this.#one(type === 'number' ? ['parity', 'key'] : ['value', 'key'])
    const grouped = { op: 'groupBy', in: e, by }
    return this.#folded(grouped, type, type === 'number' ? ['count', 'sum', 'concat', 'plus'] : ['count', 'concat'])
  }

  #folded(e: Expression, type: Type, kinds: string[]): Drawn {
    const kind = this.#one(kinds)
    if (kind === 'last') return { e: { op: 'reduce', in: e, fn: 'last' }, type }
    if (kind === 'plus') return { e: { op: 'reduce', in: e, fn: 'plus' }, type: 'number' }
    if (kind === 'glue') return { e: { op: 'reduce', in: e, fn: 'concat' }, type: 'text' }
    return { e: { op: kind, in: e }, type: kind === 'concat' || kind === 'list' ? 'text' : 'number' }
  }

  #window(): Any {
    const graceMs = this.#one([0, 0, 1, 5, 20])
    const size = this.#one([2, 5, 10])
    return this.#one([
      { kind: 'tumbling', sizeMs: size, graceMs },
      { kind: 'hopping', sizeMs: 10, advanceMs: this.#one([2, 3, 5]), graceMs },
      { kind: 'sliding', diffMs: size, graceMs },
      { kind: 'session', gapMs: size, graceMs }
    ])
  }

  #windows(): Drawn {
    const { e, type } = this.#grouped(2)
    const window = this.#window()
    const close = this.#chance(0.25)
    const windowed = { op: 'windowedBy', in: e, window, ...(close ? { emit: 'close' } : {}) }
    // A null value reaches these functions: only those that can take it.
    const kinds = type === 'number' ? ['count', 'sum', 'concat'] : ['count', 'concat', 'glue']
    const folded = this.#folded(windowed, type, kinds)
    const suppressed = !close && this.#chance(0.3) ? { op: 'suppress', in: folded.e, until: 'close' } : folded.e
    return { e: suppressed, type: folded.type, windowed: true }
  }

  #windowedStream(): Drawn {
    const windows = this.#windows()
    const changes = { op: 'toStream', in: windows.e }
    if (this.#chance(0.7)) return { e: changes, type: windows.type, windowed: true }
    const by = { const: 'all' }
    return { e: { op: 'toStream', in: { op: 'concat', in: { op: 'groupBy', in: changes, by } } }, type: 'text' }
  }

  inputs(topology: Expression): CaseInput[] {
    const topics = [...topicsOf(topology)]
    const count = 3 + this.#below(25)
    const pace = this.#one([1, 3, 8])
    // Kafka Streams cuts the bounds of a join at time 0: a window that does not hold its own time would hold it there.
    let now = this.#below(30) + (has(topology, (e) => e.window?.beforeMs < 0) ? 300 : 0)
    return Array.from({ length: count }, (): CaseInput => {
      if (this.#chance(0.05)) now += 20 + this.#below(200)
      else if (this.#chance(0.8)) now += this.#below(pace + 1)
      const late = this.#chance(0.25) ? this.#below(this.#chance(0.3) ? 60 : 12) : 0
      const topic = this.#one(topics)
      const table = /^[tmgv]/.test(topic)
      const key = topic === 'global' || !this.#chance(0.04) ? this.#key(topic) : null
      const value = this.#chance(table ? 0.2 : 0.07) ? null : this.#value(topic)
      return { topic, key, value, ts: Math.max(0, now - late) }
    })
  }

  #key(topic: string): string {
    if (topic === 'global') return this.#one(['a', 'b', 'x', 'y', 'X'])
    // Rows that foreign keys point to
    return this.#one(['a', 'a', 'b', 'c', 'x'])
  }

  #value(topic: string): Any {
    if (/^[nm]/.test(topic)) return this.#below(7) - 2
    if (/^[fg]\d/.test(topic)) return this.#one(['p|a', 'q|a', 'p|b', 'r|x', 'q|', 'none'])
    return this.#one(['x', 'y', 'xy', 'X', 'a', 'b'])
  }
}

/** Both inputs come through internal topics from one source: which of two records of one time is first is not said. */
function meetsItself(e: Any): boolean {
  const [a, b] = e.op === 'merge' ? e.in : [e.left, e.right]
  return a !== undefined && b !== undefined && shares(a, b) && has(a, isMoved) && has(b, isMoved)
}

/** A buffer behind a filter of joined tables: deletions of rows that the filter never passed fill ours, and move its time. */
const holdsFiltered = (e: Any): boolean =>
  e.op === 'suppress' && e.until !== 'close' && has(e.in, (inner) => isFilter(inner) && isJoined(inner.in))

function isJoined(e: Any): boolean {
  if (e.op === 'join') return isTable(e.left)
  return (isFilter(e) || e.op === 'mapValues' || e.op === 'suppress') && isJoined(e.in)
}

const isMoved = (e: Any): boolean => ['repartition', 'groupBy', 'selectKey', 'map', 'foreignKeyJoin'].includes(e.op)

const shares = (a: Expression, b: Expression): boolean => {
  const topics = topicsOf(a)
  return [...topicsOf(b)].some((topic) => topics.has(topic))
}

export function topicsOf(node: Any, found = new Set<string>()): Set<string> {
  if (typeof node !== 'object' || node === null) return found
  if (node.topic !== undefined) found.add(node.topic)
  for (const child of [node.in, node.left, node.right].flat()) topicsOf(child, found)
  return found
}
