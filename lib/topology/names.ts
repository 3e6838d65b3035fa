/** Names of nodes, stores and topics: what is valid, what is derived, and where in the user's program a name was given. */
import { fileURLToPath } from 'node:url'
import { TopologyError } from '../errors.ts'

const LIB = fileURLToPath(new URL('..', import.meta.url))
const FRAME = /\(?((?:file:\/\/)?\/?[^()\s]+):(\d+):\d+\)?$/

/**
 * Checks a name that becomes part of a topic's name.
 * @throws TopologyError ERR_TOPOLOGY_NAME
 */
export function checkName(what: string, name: string, place: string): void {
  if (typeof name === 'string' && name.length <= 249 && name !== '.' && name !== '..' && /^[A-Za-z0-9._-]+$/.test(name))
    return
  throw new TopologyError(
    `The ${what} "${name}" (${place}) is not a valid name: use 1 to 249 of the characters A-Z a-z 0-9 . _ - (it becomes part of a topic's name).`,
    { code: 'ERR_TOPOLOGY_NAME', details: { name, place } }
  )
}

/** `file:line` of the nearest frame outside the library: what errors about two places show. */
export function callSite(): string {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 40
  const lines = (new Error().stack ?? '').split('\n').slice(1)
  Error.stackTraceLimit = limit
  for (const line of lines) {
    const match = FRAME.exec(line)
    if (!match) continue
    const file = match[1]!.startsWith('file://') ? fileURLToPath(match[1]!) : match[1]!
    if (file.startsWith(LIB) || file.startsWith('node:')) continue
    const cwd = `${process.cwd()}/`
    return `${file.startsWith(cwd) ? file.slice(cwd.length) : file}:${match[2]}`
  }
  return 'unknown place'
}

/**
 * A name from the operator's place: its anchor (the nearest topic or named stateful node upstream) and what it does, numbered from the
 * second of its kind on. Operators added upstream or elsewhere do not move it, unlike a counter over the whole topology.
 */
export function deriveName(anchor: string, what: string, taken: (name: string) => boolean): string {
  const base = `${anchor}-${what}`
  let name = base
  for (let n = 2; taken(name); n++) name = `${base}-${n}`
  return name
}

/** Where the shapes of a job's stores are kept. */
export const shapesTopic = (applicationId: string): string => `${applicationId}-topology-changelog`

export const repartitionTopic = (applicationId: string, name: string): string => `${applicationId}-${name}-repartition`
