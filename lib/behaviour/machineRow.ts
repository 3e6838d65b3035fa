/** A key's machine as it lives in the cache: what differs from key to key. All that follows from its states is shared, and a snapshot made when asked for. */
import type { AnyMachineSnapshot, AnyStateNode, EventObject } from 'xstate'
import type { Choice } from './machineChoice.ts'
import type { Plan, Transition } from './machinePlan.ts'

// biome-ignore lint/suspicious/noExplicitAny: parts of any machine
type Any = any

/** States that are active together: everything about a snapshot that does not depend on its context. */
export interface Configuration {
  /** The state value as JSON. */
  readonly text: string
  readonly template: AnyMachineSnapshot
  readonly nodes: ReadonlySet<AnyStateNode>
  readonly plans: Map<Transition, Made | null>
  /** What an event of a type may lead to; null: only XState can tell. Filled as events come. */
  readonly choices: Map<string, readonly Choice[] | null>
  /** Eventless transitions may follow any event. */
  readonly eventless: boolean
}

/** A plan with the configuration it leads to. */
export interface Made extends Plan {
  readonly to: Configuration
}

/** One key's row: serialised once a commit, restored once after a read. Never changed, always replaced. */
export interface MachineRow {
  readonly at: Configuration
  readonly context: Any
  /** What history states recall. */
  readonly history: Any
  /** Delayed events by the name of their timer. Those of `after` are not here: their name says all. */
  readonly pending: Readonly<Record<string, EventObject>> | undefined
  /** Names given to delayed events that the machine gave no id. */
  readonly named: number
  /** Of a machine that has ended: never stored. */
  readonly ended: AnyMachineSnapshot | undefined
}

const NO_CHILDREN = Object.freeze({})
export const NO_HISTORY = Object.freeze({})

/** All rows are made here: of one shape, which keeps the hot path fast. */
export const rowOf = (
  at: Configuration,
  context: Any,
  history: Any,
  pending: MachineRow['pending'] = undefined,
  named = 0,
  ended: AnyMachineSnapshot | undefined = undefined
): MachineRow => ({ at, context, history, pending, named, ended })

/** As XState makes one, without working out again what follows from the states. */
export function snapshotOf(row: MachineRow): AnyMachineSnapshot {
  return row.ended ?? filled(row.at.template, row.context, row.history, 'active', undefined)
}

/** @param output what the machine gives */
export const endedSnapshot = (at: Configuration, context: Any, history: Any, output: unknown): AnyMachineSnapshot =>
  filled(at.template, context, history, 'done', output)

/** One literal, field by field: built by spreading it was 40 times slower. */
const filled = (t: AnyMachineSnapshot, context: Any, historyValue: Any, status: string, output: unknown) =>
  ({
    status,
    output,
    error: undefined,
    machine: t.machine,
    context,
    _nodes: t._nodes,
    value: t.value,
    tags: t.tags,
    children: NO_CHILDREN,
    historyValue,
    matches: t.matches,
    hasTag: t.hasTag,
    can: t.can,
    getMeta: t.getMeta,
    toJSON: t.toJSON
  }) as unknown as AnyMachineSnapshot
