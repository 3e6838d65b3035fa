/** Turns topology expressions into calls of the public DSL. */
import * as api from '../../actors/index.ts'
import type { Any, Expression } from './format.ts'
import { AGGREGATIONS, functionOf, JOINERS, REDUCTIONS } from './functions.ts'

/** The case needs an operator that the DSL does not have. */
export class NotBuilt extends Error {}

/** Serdes of all topics of cases: JSON, and null stays null. One object each, so that equal topics are equal. */
export const KEY = api.nullable(api.json<Any>())
export const VALUE = api.nullable(api.json<Any>())

type Kind = 'stream' | 'table' | 'global' | 'grouped' | 'groupedTable' | 'windowed'

interface Built {
  readonly kind: Kind
  /** The DSL's object. Untyped: an operator that is missing is to be a failed case, not a runner that does not compile. */
  readonly it: Any
  /** Of a windowed grouping. */
  readonly window?: string
}

export interface BuildOptions {
  /** In front of topics and names: keeps the cases of one topology apart. */
  readonly prefix?: string
  /** Where the results go. Default `out`. */
  readonly out?: string
}

const missing = (what: string): never => {
  throw new NotBuilt(`${what} is not built yet`)
}

/** The factory of that name in the public API. */
const factory = (name: string): ((...args: Any[]) => Any) => (api as Any)[name] ?? missing(`${name}()`)

function call(target: Built, method: string, ...args: Any[]): Any {
  if (typeof target.it[method] !== 'function') missing(`${method}() of a ${target.kind}`)
  return target.it[method](...args)
}

/** Builds one case into a topology. */
export class CaseBuilder {
  readonly out: string
  /** Source topics by the name they have in the case. */
  readonly topics = new Map<string, { topic: Any; partitions: number }>()
  readonly #t: Any
  readonly #prefix: string
  readonly #known = new Map<string, Built>()

  constructor(t: api.TopologyBuilder, options: BuildOptions = {}) {
    this.#t = t
    this.#prefix = options.prefix ?? ''
    this.out = options.out ?? `${this.#prefix}out`
  }

  /** @throws NotBuilt, and whatever the DSL throws */
  build(expression: Expression): this {
    const root = this.#node(expression)
    const stream = root.kind === 'table' ? call(root, 'toStream') : root.it
    if (root.kind !== 'stream' && root.kind !== 'table') throw new Error(`A ${root.kind} at the root has no output`)
    stream.to(this.out, { value: VALUE })
    return this
  }

  /** Equal sources are one, and so are equal nodes that share a name; others are built as often as they are written. */
  #node(e: Expression): Built {
    if (!['stream', 'table', 'globalTable'].includes(e.op) && e.name === undefined) return this.#make(e)
    const id = JSON.stringify(e)
    const known = this.#known.get(id) ?? this.#make(e)
    this.#known.set(id, known)
    return known
  }

  #topic(e: Expression): Any {
    const name: string = e.topic
    const known = this.topics.get(name)
    if (known) return known.topic
    const field = e.timestamp?.field
    const timestamp = field && { timestamp: (r: Any) => r.value?.[field] ?? r.timestamp }
    const topic = api.topic(`${this.#prefix}${name}`, { key: KEY, value: VALUE, ...timestamp })
    this.topics.set(name, { topic, partitions: e.partitions ?? 1 })
    return topic
  }

  #named(e: Expression): { name?: string } {
    return e.name === undefined ? {} : { name: `${this.#prefix}${e.name}` }
  }

  #make(e: Expression): Built {
    const name = this.#named(e)
    switch (e.op) {
      case 'stream':
        return { kind: 'stream', it: this.#t.stream(this.#topic(e)) }
      case 'table': {
        const versioned = e.versionedMs === undefined ? {} : { versioned: e.versionedMs }
        return { kind: 'table', it: this.#t.table(this.#topic(e), { ...name, ...versioned }) }
      }
      case 'globalTable':
        if (!this.#t.globalTable) missing('globalTable()')
        return { kind: 'global', it: this.#t.globalTable(this.#topic(e), name) }
      case 'merge': {
        const [left, right] = e.in.map((input: Expression) => this.#node(input))
        return { kind: 'stream', it: call(left, 'merge', right.it, name) }
      }
      case 'join':
        return this.#join(e, name)
      case 'foreignKeyJoin': {
        const left = this.#node(e.left)
        const right = this.#node(e.right)
        const fk = functionOf(e.fk)
        const method = e.how === 'inner' ? 'joinByForeignKey' : 'leftJoinByForeignKey'
        const options = { ...name, value: VALUE, key: KEY }
        return {
          kind: 'table',
          it: call(left, method, right.it, (v: Any, k: Any) => fk(v, k), JOINERS[e.joiner], options)
        }
      }
      default:
        return this.#unary(e, this.#node(e.in), name)
    }
  }

  #unary(e: Expression, input: Built, name: { name?: string }): Built {
    const fn = 'fn' in e && e.op !== 'reduce' ? functionOf(e.fn) : (v: Any): Any => v
    const { kind } = input
    const isTable = kind === 'table'
    switch (e.op) {
      case 'filter':
      case 'filterNot': {
        const where = functionOf(e.where)
        const wanted = isTable ? (v: Any, k: Any) => where(v, k) : (r: Any) => where(r.value, r.key)
        return { kind, it: call(input, e.op, wanted, name) }
      }
      case 'map':
        return {
          kind,
          it: call(input, 'map', (r: Any) => ({ key: r.key, value: fn(r.value, r.key) }), {
            ...name,
            key: KEY,
            value: VALUE
          })
        }
      case 'mapValues': {
        const map = isTable ? (v: Any, k: Any) => fn(v, k) : (v: Any, r: Any) => fn(v, r.key)
        return { kind, it: call(input, 'mapValues', map, { ...name, value: VALUE }) }
      }
      case 'flatMapValues': {
        const map = (v: Any, r: Any): Any[] => {
          const made = fn(v, r.key)
          return Array.isArray(made) ? made : [made]
        }
        return { kind, it: call(input, 'flatMapValues', map, { ...name, value: VALUE }) }
      }
      case 'selectKey':
        return { kind, it: call(input, 'selectKey', (r: Any) => fn(r.value, r.key), { ...name, key: KEY }) }
      case 'groupByKey':
        return { kind: 'grouped', it: call(input, 'groupByKey', name) }
      case 'groupBy': {
        const by = functionOf(e.by)
        const options = { ...name, key: KEY, value: VALUE }
        if (isTable) {
          return { kind: 'groupedTable', it: call(input, 'groupBy', (v: Any, k: Any) => [by(v, k), fn(v, k)], options) }
        }
        return { kind: 'grouped', it: call(input, 'groupBy', (r: Any) => by(r.value, r.key), options) }
      }
      case 'windowedBy': {
        const emit = e.emit === undefined ? [] : [{ emit: e.emit }]
        return { kind: 'windowed', it: call(input, 'windowedBy', windowOf(e.window), ...emit), window: e.window.kind }
      }
      case 'count':
        return { kind: 'table', it: call(input, 'count', { ...name, value: VALUE }) }
      case 'sum':
      case 'concat':
      case 'list': {
        const { initial, add, subtract, merge } = AGGREGATIONS[e.op]!
        const options = { ...name, value: VALUE }
        if (kind === 'groupedTable') {
          return { kind: 'table', it: call(input, 'aggregate', initial, add, subtract ?? ((a: Any) => a), options) }
        }
        const merging = input.window === 'session' ? { merge: (_: Any, a: Any, b: Any) => merge(a, b) } : {}
        return { kind: 'table', it: call(input, 'aggregate', initial, add, { ...options, ...merging }) }
      }
      case 'max':
      case 'min':
      case 'reduce': {
        const { add, subtract } = REDUCTIONS[e.op === 'reduce' ? e.fn : e.op]!
        const options = { ...name, value: VALUE }
        if (kind === 'groupedTable') {
          return { kind: 'table', it: call(input, 'reduce', add, subtract ?? ((a: Any) => a), options) }
        }
        return { kind: 'table', it: call(input, 'reduce', (a: Any, v: Any) => add(a, v), options) }
      }
      case 'suppress': {
        const until = e.until === 'close' ? 'close' : e.until.ms
        const bound = e.maxRecords === undefined ? {} : { maxRecords: e.maxRecords }
        const full = e.full === undefined ? {} : { full: e.full }
        return { kind: 'table', it: call(input, 'suppress', { ...name, until, ...bound, ...full }) }
      }
      case 'toStream':
        return { kind: 'stream', it: call(input, 'toStream') }
      case 'toTable':
        return { kind: 'table', it: call(input, 'toTable', name) }
      case 'repartition':
        return { kind: 'stream', it: call(input, 'repartition', name) }
      case 'punctuate': {
        const create = (): Any => ({
          init(context: Any) {
            context.schedule(e.every, e.clock, (time: number) => context.forward({ key: null, value: time }))
          },
          process() {}
        })
        return { kind: 'stream', it: call(input, 'process', { create }, { ...name, key: KEY, value: VALUE }) }
      }
      default:
        return missing(`The op "${e.op}"`)
    }
  }

  #join(e: Expression, name: { name?: string }): Built {
    const left = this.#node(e.left)
    const right = this.#node(e.right)
    const method = e.how === 'inner' ? 'join' : `${e.how}Join`
    const joiner = JOINERS[e.joiner]!
    if (left.kind === 'table') {
      return { kind: 'table', it: call(left, method, right.it, joiner, { ...name, value: VALUE }) }
    }
    const options: Any = { ...name, result: VALUE }
    if (right.kind === 'stream') {
      if (!e.window) throw new Error('A join of two streams needs a "window"')
      if (typeof left.it.outerJoin !== 'function') missing('a join of two streams')
      const { beforeMs, afterMs, graceMs = 0 } = e.window
      options.within = { before: beforeMs, after: afterMs, grace: graceMs }
    } else if (right.kind === 'global') {
      const on = functionOf(e.key ?? 'key')
      options.on = (r: Any) => on(r.value, r.key)
    } else if (e.graceMs !== undefined) options.grace = e.graceMs
    if (right.kind !== 'stream' && e.how === 'outer') throw new Error('A stream and a table have no outer join')
    return { kind: 'stream', it: call(left, method, right.it, joiner, options) }
  }
}

function windowOf(w: Any): Any {
  const grace = w.graceMs ?? 0
  switch (w.kind) {
    case 'tumbling':
      return api.tumbling(w.sizeMs, { grace })
    case 'hopping':
      return api.hopping(w.sizeMs, { advance: w.advanceMs, grace })
    case 'sliding':
      return factory('sliding')(w.diffMs, { grace })
    default:
      return factory('session')(w.gapMs, { grace })
  }
}
