/** What members tell the leader and the leader tells members, besides partitions: small versioned JSON in the group's user data. */

export const USER_DATA_VERSION = 1

/** Of one process, read at each join. Which tasks it runs follows from the partitions it owns. */
export interface SubscriptionData {
  readonly version: number
  /** Processes with one state directory have the same: standbys must be on another than their active. */
  readonly processId: string
  /** Tasks whose state lies in this process's directory, and when it was last written (ms): the freshest copy restores the least. */
  readonly onDisk: Readonly<Record<string, number>>
  /** Where its questions are to be asked. */
  readonly advertise?: string | undefined
}

export interface AssignmentData {
  readonly version: number
  readonly active: readonly string[]
  /** Tasks whose state this process is to keep up; members that do not know standbys ignore them. */
  readonly standby: readonly string[]
  /** Partition counts of the topics that are read, as the leader has planned: members come to the same tasks. Undefined of an older leader. */
  readonly counts?: ReadonlyMap<string, number> | undefined
  /** Tasks of all members that advertise an address, by that address. */
  readonly owners?: Readonly<Record<string, readonly string[]>> | undefined
}

export function encodeSubscription(data: Omit<SubscriptionData, 'version'>): Buffer {
  return Buffer.from(JSON.stringify({ v: USER_DATA_VERSION, p: data.processId, d: data.onDisk, u: data.advertise }))
}

/** Never throws: a member that speaks another version, or none, takes part as one without state. */
export function decodeSubscription(bytes: Buffer, memberId: string): SubscriptionData {
  const raw = parse(bytes)
  const onDisk: Record<string, number> = {}
  if (isObject(raw.d)) {
    for (const [task, at] of Object.entries(raw.d)) if (typeof at === 'number') onDisk[task] = at
  }
  return {
    version: typeof raw.v === 'number' ? raw.v : 0,
    processId: typeof raw.p === 'string' ? raw.p : memberId,
    onDisk,
    ...(typeof raw.u === 'string' && { advertise: raw.u })
  }
}

export function encodeAssignment(data: Omit<AssignmentData, 'version'>): Buffer {
  return Buffer.from(
    JSON.stringify({
      v: USER_DATA_VERSION,
      a: data.active,
      s: data.standby,
      t: data.counts && [...data.counts],
      o: data.owners
    })
  )
}

/** Never throws, as `decodeSubscription`. */
export function decodeAssignment(bytes: Buffer): AssignmentData {
  const raw = parse(bytes)
  const version = typeof raw.v === 'number' ? raw.v : 0
  return {
    version,
    active: strings(raw.a),
    standby: strings(raw.s),
    ...(Array.isArray(raw.t) && { counts: countsOf(raw.t) }),
    ...(isObject(raw.o) && { owners: raw.o as Record<string, string[]> })
  }
}

function parse(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return isObject(value) ? value : {}
  } catch {
    return {}
  }
}

const countsOf = (entries: readonly unknown[]): Map<string, number> =>
  new Map(
    entries.filter(
      (e): e is [string, number] => Array.isArray(e) && typeof e[0] === 'string' && typeof e[1] === 'number'
    )
  )

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((x): x is string => typeof x === 'string') : []
