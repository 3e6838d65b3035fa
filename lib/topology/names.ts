/** Names of nodes, stores and topics: what is valid, what is derived, and where in the user's program a name was given. */
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TopologyError } from '../errors.ts'

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
  const frames = (new Error().stack ?? '').split('\n').slice(1).map(placeOf)
  Error.stackTraceLimit = limit
  // Ours lie about our own, which is in lib/, in the built package, or where source maps say that it came from.
  const home = dirname(dirname(frames[0]?.file ?? ''))
  const actors = join(home, '../actors')
  for (const frame of frames) {
    if (!frame || [`${home}${sep}`, `${actors}${sep}`, 'node:'].some((start) => frame.file.startsWith(start))) continue
    const cwd = `${process.cwd()}/`
    return `${frame.file.startsWith(cwd) ? frame.file.slice(cwd.length) : frame.file}:${frame.line}`
  }
  return 'unknown place'
}

function placeOf(frame: string): { file: string; line: string } | undefined {
  const match = FRAME.exec(frame)
  if (!match) return undefined
  return { file: match[1]!.startsWith('file://') ? fileURLToPath(match[1]!) : match[1]!, line: match[2]! }
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
