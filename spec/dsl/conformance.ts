/** Turns the topology expressions of conformance cases into DSL calls, for the operators that exist. */

import type { Grouped } from '../../lib/dsl/grouped.ts'
import { hopping, type Stream, type Table, type Topic, topic, topology, tumbling } from '../../lib/dsl/index.ts'
import type { WindowedGrouped } from '../../lib/dsl/windowedGrouped.ts'
import { json, nullable } from '../../lib/serde/index.ts'

export interface Expression {
  readonly op: string
  readonly in?: Expression | Expression[]
  readonly left?: Expression
  readonly right?: Expression
  // biome-ignore lint/suspicious/noExplicitAny: data of many shapes
  readonly [field: string]: any
}

/** The case needs an operator that is not built yet. */
export class Unsupported extends Error {}

// biome-ignore lint/suspicious/noExplicitAny: values of cases are any JSON
type Any = any
type AnyStream = Stream<Any, Any>
type AnyTable = Table<Any, Any>
const value = nullable(json<Any>())

const FUNCTIONS: Record<string, (v: Any, k: Any) => Any> = {
  identity: (v) => v,
  value: (v) => v,
  upper: (v) => v?.toUpperCase() ?? null,
  firstLetter: (v) => v?.[0] ?? null,
  parity: (v) => (v % 2 === 0 ? 'even' : 'odd'),
  afterBar: (v) => v?.split('|')[1] ?? null,
  positive: (v) => v > 0,
  key: (_, k) => k
}
const fn = (name: Any): ((v: Any, k: Any) => Any) =>
  typeof name === 'string' ? FUNCTIONS[name]! : 'const' in name ? () => name.const : (v) => v?.[name.field] ?? null

const JOINERS: Record<string, (l: Any, r: Any) => Any> = {
  dash: (l, r) => `${l}-${r}`,
  plus: (l, r) => `${l}+${r}`,
  pair: (l, r) => `(${l},${r})`,
  glue: (l, r) => `${l}${r}`,
  right: (_, r) => r
}

/** Builds one case; its results go to the topic `out`. */
export class CaseBuilder {
  readonly t = topology()
  readonly topics = new Map<string, Topic<Any, Any>>()
  #nodes = new Map<string, unknown>() // equal expressions are one node

  build(expression: Expression): void {
    const node = this.#node(expression)
    const stream = (
      expression.op === 'join' || 'merge' in (node as object) ? node : (node as AnyTable).toStream()
    ) as AnyStream
    stream.to('out', { value })
  }

  #topic(e: Expression): Topic<Any, Any> {
    const known = this.topics.get(e.topic)
    if (known) return known
    if (e.partitions && e.partitions !== 1) throw new Unsupported('partitions')
    const field = typeof e.timestamp === 'object' ? e.timestamp.field : undefined
    const timestamp = field === undefined ? {} : { timestamp: (r: Any) => r.value[field] }
    const made = topic(e.topic, { key: nullable(json<Any>()), value, ...timestamp })
    this.topics.set(e.topic, made)
    return made
  }

  #node(e: Expression): unknown {
    const id = JSON.stringify(e)
    if (!this.#nodes.has(id)) this.#nodes.set(id, this.#make(e))
    return this.#nodes.get(id)
  }

  #in<T>(e: Expression): T {
    return this.#node(e.in as Expression) as T
  }

  #make(e: Expression): unknown {
    const name = e.name ? { name: e.name as string } : {}
    switch (e.op) {
      case 'stream':
        return this.t.stream(this.#topic(e))
      case 'table':
        if (e.versionedMs) throw new Unsupported('versioned table')
        return this.t.table(this.#topic(e), name)
      case 'filter':
      case 'filterNot': {
        const wanted = fn(e.where)
        const input = this.#in<AnyStream | AnyTable>(e)
        if ('merge' in input) return input[e.op](({ value, key }) => wanted(value, key))
        return input[e.op]((v: Any, k: Any) => wanted(v, k))
      }
      case 'mapValues':
        return this.#in<AnyStream>(e).mapValues((v, r) => fn(e.fn)(v, (r as Any)?.key), { value })
      case 'selectKey':
        return this.#in<AnyStream>(e).selectKey((r) => fn(e.fn)(r.value, r.key), { key: json() })
      case 'merge': {
        const [a, b] = (e.in as Expression[]).map((x) => this.#node(x) as AnyStream)
        return a!.merge(b!)
      }
      case 'groupByKey':
        return this.#in<AnyStream>(e).groupByKey()
      case 'groupBy': {
        const input = this.#in<AnyStream>(e)
        if (!('merge' in input)) throw new Unsupported('grouped table')
        return input.groupBy((r) => fn(e.by)(r.value, r.key), { key: json<Any>() })
      }
      case 'windowedBy': {
        const { kind, sizeMs, advanceMs, graceMs = 0 } = e.window
        if (e.emit === 'close') throw new Unsupported('emit on close')
        if (kind === 'tumbling') return this.#in<Grouped<Any, Any>>(e).windowedBy(tumbling(sizeMs, { grace: graceMs }))
        if (kind === 'hopping') {
          return this.#in<Grouped<Any, Any>>(e).windowedBy(hopping(sizeMs, { advance: advanceMs, grace: graceMs }))
        }
        throw new Unsupported(`${kind} windows`)
      }
      case 'count':
        return this.#grouped(e).count({ value, ...name })
      case 'concat':
        return this.#grouped(e).aggregate(
          () => '0',
          (sum: Any, v: Any) => `${sum}+${v}`,
          { value, ...name }
        )
      case 'sum':
        return this.#grouped(e).aggregate(
          () => 0,
          (sum: Any, v: Any) => sum + v,
          { value, ...name }
        )
      case 'max':
        return this.#grouped(e).reduce((a: Any, b: Any) => Math.max(a, b), name)
      case 'min':
        return this.#grouped(e).reduce((a: Any, b: Any) => Math.min(a, b), name)
      case 'toStream':
        return this.#in<AnyTable>(e).toStream()
      case 'toTable':
        return this.#in<AnyStream>(e).toTable(name)
      case 'join': {
        const left = this.#node(e.left!) as AnyStream
        const right = this.#node(e.right!) as AnyTable
        if (!('merge' in left) || 'merge' in right || e.graceMs || e.window) throw new Unsupported('join of this kind')
        const joiner = JOINERS[e.joiner]!
        if (e.how === 'outer') throw new Unsupported('outer join')
        return e.how === 'inner' ? left.join(right, joiner) : left.leftJoin(right, joiner)
      }
      case 'punctuate':
        return this.#in<AnyStream>(e).process<Any, Any>(
          {
            create: () => ({
              init(context) {
                context.schedule(e.every, e.clock, (time) => context.forward({ key: null, value: time }))
              },
              process() {}
            })
          },
          { key: value, value }
        )
      default:
        throw new Unsupported(e.op)
    }
  }

  #grouped(e: Expression): Grouped<Any, Any> & WindowedGrouped<Any, Any> {
    return this.#in(e)
  }
}
