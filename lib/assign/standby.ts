/** Which members keep a copy of each task's state: on other processes than its active, where a copy is already, spread evenly. Pure, deterministic. */

export interface StandbyMember {
  /** Ties are broken by its order. */
  readonly id: string
  /** Two copies in one process are one: none helps when it is gone. */
  readonly processId: string
  /** Tasks it runs. */
  readonly active: readonly string[]
  /** Tasks with local state, and as of when (ms). */
  readonly onDisk: Readonly<Record<string, number>>
}

/**
 * Invariants (held by properties in the spec): each task gets `copies` standbys or as many as there are other processes; no two of a task, its
 * active included, are in one process; none could move to a member that has less to do by two (actives and standbys); given what came
 * of it as `onDisk`, it comes out the same. Tasks that nobody runs get none.
 * @param tasks those with state that is in a log
 */
export function assignStandbys(
  members: readonly StandbyMember[],
  tasks: readonly string[],
  copies: number
): Map<string, string[]> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const wanted = new Set(tasks)
  const load = sorted.map(({ active }) => active.filter((task) => wanted.has(task)).length)
  /** By task: members that have it, the active first. */
  const holders = new Map<string, number[]>()
  for (const [m, { active }] of sorted.entries()) {
    for (const task of active) if (wanted.has(task)) holders.set(task, [m])
  }
  const free = (m: number, held: readonly number[]): boolean =>
    held.every((other) => sorted[other]!.processId !== sorted[m]!.processId)
  const place = (m: number, held: number[]): void => {
    held.push(m)
    load[m]!++
  }

  for (const [task, held] of holders) {
    const warm = [...sorted.keys()].filter((m) => sorted[m]!.onDisk[task] !== undefined)
    warm.sort((a, b) => sorted[b]!.onDisk[task]! - sorted[a]!.onDisk[task]!)
    for (const m of warm) if (held.length <= copies && free(m, held)) place(m, held)
  }
  for (let copy = 1; copy <= copies; copy++) {
    for (const held of holders.values()) {
      if (held.length > copy) continue
      let least = -1
      for (const m of sorted.keys()) if (free(m, held) && (least < 0 || load[m]! < load[least]!)) least = m
      if (least >= 0) place(least, held)
    }
  }
  while (evenOut(holders, load, free)) {
    // each move makes the sum of the squares smaller
  }
  const result = new Map<string, string[]>(sorted.map(({ id }) => [id, []]))
  for (const task of tasks) {
    for (const m of holders.get(task)?.slice(1) ?? []) result.get(sorted[m]!.id)!.push(task)
  }
  return result
}

/** Moves the standby whose move evens out the most; false when none does. */
function evenOut(
  holders: ReadonlyMap<string, number[]>,
  load: number[],
  free: (m: number, held: readonly number[]) => boolean
): boolean {
  let most = 1
  let move: { held: number[]; at: number; to: number } | undefined
  for (const held of holders.values()) {
    for (let at = 1; at < held.length; at++) {
      const from = held[at]!
      const others = held.filter((m) => m !== from)
      for (const to of load.keys()) {
        if (load[from]! - load[to]! <= most || !free(to, others)) continue
        most = load[from]! - load[to]!
        move = { held, at, to }
      }
    }
  }
  if (move === undefined) return false
  load[move.held[move.at]!]!--
  load[move.to]!++
  move.held[move.at] = move.to
  return true
}
