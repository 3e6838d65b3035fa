/** What of a topology its state depends on, and what another version of it must not change. */
import type { BuiltTopology } from './built.ts'

/** A store or a repartition topic, as far as bytes that are there already depend on it. Plain data: it is kept as JSON. */
export interface Shape {
  readonly kind: string
  /** Serdes by the family of their names. */
  readonly key: string
  readonly value: string
  readonly windowMs?: number | undefined
  readonly retentionMs?: number | undefined
  readonly historyMs?: number | undefined
  readonly ttlMs?: number | undefined
  /** Topics that its sub-topology reads, full names. */
  readonly from: readonly string[]
  /** Its name follows from its place. */
  readonly derived?: boolean
  /** It was not part of the last version. */
  readonly gone?: boolean
}

/** `json(zod)` reads what `json` wrote. */
const family = (serde: string): string => serde.replace(/\bjson\([^()]*\)/g, 'json')

/** All that keeps state or unread records, by `store "counts"`, `repartition topic "by-word"`. */
export function shapesOf(built: BuiltTopology): Map<string, Shape> {
  const derived = new Set(built.derived)
  const shapes = new Map<string, Shape>()
  for (const { stores, sourceTopics } of built.subtopologies) {
    for (const { name, kind, key, value, windowMs, retentionMs, historyMs, ttlMs } of stores) {
      const times = { windowMs, retentionMs, historyMs, ttlMs }
      const serdes = { key: family(key.name), value: family(value.name) }
      shapes.set(`store "${name}"`, {
        kind,
        ...serdes,
        ...times,
        from: sourceTopics,
        derived: derived.has(name)
      })
    }
  }
  for (const { name, key, value, upstream } of built.internalTopics.repartition) {
    shapes.set(`repartition topic "${name}"`, {
      kind: 'repartition',
      key: family(key),
      value: family(value),
      from: upstream,
      derived: derived.has(name)
    })
  }
  return shapes
}

/** Why the state that `before` tells of cannot be gone on with; one sentence for each reason. */
export function misfits(before: ReadonlyMap<string, Shape>, now: ReadonlyMap<string, Shape>): string[] {
  const reasons: string[] = []
  for (const [name, shape] of now) {
    const known = before.get(name)
    const changes = known === undefined ? renamed(shape, before, now) : changed(known, shape)
    changes.push(...renumbered(name, shape, before, now))
    if (changes.length > 0) reasons.push(`The ${name}: ${changes.join('; ')}.`)
  }
  return reasons
}

function changed(before: Shape, now: Shape): string[] {
  if (before.gone) return ['it was not part of the version that ran last, so what it holds misses what was read since']
  const changes: string[] = []
  const differs = (what: string, was: string | number, is: string | number): void => {
    if (was !== is) changes.push(`${what} ${is} now, ${what.startsWith('its') ? 'were' : 'was'} ${was}`)
  }
  differs('it is of kind', before.kind, now.kind)
  differs('its keys are', before.key, now.key)
  differs('its values are', before.value, now.value)
  differs('its windows span', before.windowMs ?? 0, now.windowMs ?? 0)
  for (const [what, slot] of [
    ['windows', 'retentionMs'],
    ['versions', 'historyMs']
  ] as const) {
    if (ever(now[slot]) > ever(before[slot]))
      changes.push(
        `its ${what} are kept for ${now[slot]} ms now, were for ${before[slot]} ms: those that were deleted would begin anew`
      )
  }
  if (now.ttlMs !== undefined && before.ttlMs === undefined)
    changes.push('its rows have a time to live now, and those that are there would never end')
  // A source may come or go. With none left of what fed it, its keys lie elsewhere, or it is about something else.
  if (!now.from.some((topic) => before.from.includes(topic)))
    changes.push(`it is fed from ${now.from.join(', ')} now, was from ${before.from.join(', ')}`)
  return changes
}

const ever = (ms: number | undefined): number => ms ?? Number.POSITIVE_INFINITY

/** A new name that nobody gave, while a name that nobody gave is gone: the operator was moved, and its state would stay behind. */
function renamed(shape: Shape, before: ReadonlyMap<string, Shape>, now: ReadonlyMap<string, Shape>): string[] {
  if (!shape.derived) return []
  for (const [old, other] of before) {
    if (now.has(old) || other.gone || !other.derived) continue
    const same = other.kind === shape.kind && other.key === shape.key && other.value === shape.value
    if (same) return [`its name is derived, and may be a new one of the ${old}, which is gone`]
  }
  return []
}

/** Where several have the same derived name they are numbered as they stand: one more or less, and the others may have changed places. */
function renumbered(
  name: string,
  shape: Shape,
  before: ReadonlyMap<string, Shape>,
  now: ReadonlyMap<string, Shape>
): string[] {
  const known = before.get(name)
  if (!shape.derived || known === undefined || known.gone) return []
  const base = baseOf(name)
  const count = (shapes: ReadonlyMap<string, Shape>): number =>
    [...shapes].filter(([other, { derived, gone }]) => derived && !gone && baseOf(other) === base).length
  const [was, is] = [count(before), count(now)]
  return was === is
    ? []
    : [`it is one of ${is} with that derived name now, was one of ${was}, and which is which nobody knows`]
}

const baseOf = (name: string): string => name.replace(/-\d+"$/, '"')
