/** Makes a case that differs as small as it gets while it still differs. */
import type { Any, Expression } from './format.ts'
import { type Generated, topicsOf } from './generate.ts'

/** @param differs runs both sides; at most `budget` times */
export async function shrink(
  c: Generated,
  differs: (c: Generated) => Promise<boolean>,
  budget = 400
): Promise<Generated> {
  let best = c
  let left = budget
  for (let smaller = true; smaller && left > 0; ) {
    smaller = false
    for (const candidate of candidates(best)) {
      if (left-- <= 0) break
      if (!(await differs(candidate))) continue
      best = candidate
      smaller = true
      break
    }
  }
  return best
}

function* candidates(c: Generated): Generator<Generated> {
  const { topology, inputs } = c
  for (let size = inputs.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < inputs.length; at += size) {
      yield { topology, inputs: inputs.filter((_, i) => i < at || i >= at + size) }
    }
  }
  for (const smaller of smallerNodes(topology)) {
    const topics = topicsOf(smaller)
    const kept = inputs.filter((input) => topics.has(input.topic))
    if (kept.length > 0) yield { topology: smaller, inputs: kept }
  }
  // Times closer together, one at a time
  for (const [i, input] of inputs.entries()) {
    for (const ts of new Set([0, input.ts >> 1, input.ts - 1])) {
      if (ts < 0 || ts >= input.ts) continue
      yield { topology, inputs: inputs.map((other, j) => (j === i ? { ...input, ts } : other)) }
    }
  }
}

/** The expression with one of its nodes replaced by what goes into it, or by a source. */
function* smallerNodes(e: Expression): Generator<Expression> {
  const children = childrenOf(e)
  for (const [, child] of children) if (canStand(e, child)) yield child
  for (const [place, child] of children) {
    for (const smaller of smallerNodes(child)) yield replaced(e, place, smaller)
    if (childrenOf(child).length === 0) continue
    for (const op of ['stream', 'table']) {
      for (const topic of topicsOf(child)) yield replaced(e, place, { op, topic })
    }
  }
}

function childrenOf(e: Expression): [place: string, child: Expression][] {
  const places: [string, Expression][] = []
  if (Array.isArray(e.in)) for (const [i, child] of e.in.entries()) places.push([`in.${i}`, child])
  else if (e.in) places.push(['in', e.in])
  for (const side of ['left', 'right']) if (e[side]) places.push([side, e[side]])
  return places
}

/** A grouping or a windowing alone has no output; whether the kinds fit is left to the build. */
const canStand = (_: Expression, child: Expression): boolean =>
  !['groupByKey', 'groupBy', 'windowedBy', 'globalTable'].includes(child.op)

function replaced(e: Expression, place: string, child: Any): Expression {
  if (!place.startsWith('in.')) return { ...e, [place]: child }
  const index = Number(place.slice(3))
  return { ...e, in: e.in.map((other: Any, i: number) => (i === index ? child : other)) }
}
