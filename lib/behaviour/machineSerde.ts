/** The durable state of a machine per key: its states and context, and the events it has raised for later. */
import type { AnyStateMachine } from 'xstate'
import { EncodeError, MillraceError, ProcessingError } from '../errors.ts'
import type { Serde } from '../record.ts'
import { utf8 } from '../serde/slices.ts'
import { writeText, written } from '../serde/write.ts'
import type { MachineRow } from './machineRow.ts'
import type { MachineStates, StoredRow } from './machineStates.ts'

/** A row as it is stored (JSON). */
interface Stored extends StoredRow {
  /** The machine's version; absent when it has none. */
  readonly version?: string
}

/** State of an earlier version as it was stored, and as this version wants it. */
export interface MigratedState {
  /** The state value, as in `snapshot.value`. */
  readonly value: unknown
  readonly context: unknown
}

export type Migrations = Readonly<Record<string, (old: MigratedState & { readonly version: string }) => MigratedState>>

/** Rows that are checked for what JSON would lose; a machine whose first so many are sound is believed. */
const CHECKED = 1_000
const NO_VERSION = ''

/**
 * Rows as bytes.
 * @throws ProcessingError ERR_MACHINE_STATE (decode) for a version without a migration, or states that the machine does not have
 * @throws EncodeError for a context that JSON would change
 */
export function machineSerde(states: MachineStates, migrations: Migrations): Serde<MachineRow> {
  const { machine } = states
  const version = machine.version ?? NO_VERSION
  const head = version === NO_VERSION ? '{"value":' : `{"version":${JSON.stringify(version)},"value":`
  let checks = CHECKED
  const textOf = ({ at, context, history, pending, named }: MachineRow): string => {
    if (checks > 0) {
      checks--
      checkPlain(context, 'context')
    }
    let text = `${head}${at.text},"context":${JSON.stringify(context)}`
    const ids = idsOf(history)
    if (ids) text += `,"history":${JSON.stringify(ids)}`
    if (pending) text += `,"pending":${JSON.stringify(pending)}`
    if (named > 0) text += `,"named":${named}`
    return `${text}}`
  }
  return {
    name: `machine(${machine.id})`,
    encode: written(
      (row: MachineRow) => Buffer.from(textOf(row), 'utf8'),
      (row, target, at) => writeText(textOf(row), target, at)
    ),
    decode(bytes, start, end) {
      let stored = JSON.parse(utf8(bytes, start, end)) as Stored
      const { version: of = NO_VERSION } = stored
      if (of !== version) stored = migrated(machine, migrations, stored, of)
      try {
        return states.restore(stored)
      } catch (cause) {
        if (cause instanceof MillraceError) throw cause
        throw new ProcessingError(
          `Machine "${machine.id}" has no state ${JSON.stringify(stored.value)}, which a key is in: ${(cause as Error).message}. ` +
            'Give the changed machine a new version, and say in "migrate" where the keys of the former one stand.',
          { code: 'ERR_MACHINE_STATE', cause, details: { machine: machine.id, value: stored.value } }
        )
      }
    }
  }
}

function migrated(machine: AnyStateMachine, migrations: Migrations, stored: Stored, from: string): Stored {
  const migrate = migrations[from]
  if (!migrate) {
    throw new ProcessingError(
      `A key's state is of version "${from}" of machine "${machine.id}", which is of version "${machine.version ?? ''}" now. ` +
        `Give machineBehaviour() "migrate: { '${from}': (old) => ({ value: …, context: … }) }".`,
      { code: 'ERR_MACHINE_STATE', details: { machine: machine.id, version: from } }
    )
  }
  const { value, context } = migrate({ value: stored.value, context: stored.context, version: from })
  return { ...stored, value, context }
}

function idsOf(history: Readonly<Record<string, readonly { id: string }[]>>): Record<string, string[]> | undefined {
  let ids: Record<string, string[]> | undefined
  for (const key in history) {
    ids ??= {}
    ids[key] = history[key]!.map(({ id }) => id)
  }
  return ids
}

/** A Date in the context would come back as a text, but only after a restart: found now. */
function checkPlain(value: unknown, path: string): void {
  if (typeof value === 'object' && value !== null) {
    const proto = Object.getPrototypeOf(value)
    if (proto !== Object.prototype && proto !== null && !Array.isArray(value))
      throw notPlain(value.constructor.name, path)
    for (const [key, inner] of Object.entries(value)) checkPlain(inner, `${path}.${key}`)
  } else if (typeof value === 'number' ? !Number.isFinite(value) : /bigint|function|symbol/.test(typeof value)) {
    throw notPlain(typeof value === 'number' ? String(value) : typeof value, path)
  }
}

const notPlain = (what: string, path: string): EncodeError =>
  new EncodeError(
    `A machine's state is kept as JSON, and "${path}" holds a ${what}, which would come back as something else after a restart. Keep plain data in the context: a time as milliseconds, a map as an object.`
  )
