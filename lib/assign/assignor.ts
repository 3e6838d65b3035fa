/** Gives each task to one member: sticky, balanced within one, towards members that have its state. A pure, deterministic function. */
import { type Tp, tpKey } from '../record.ts'
import { quotas } from './quota.ts'

export interface AssignMember {
  /** Stable between rebalances where possible (instance id, else member id): ties are broken by its order. */
  readonly id: string
  readonly owned: readonly Tp[]
  /** Of the generation in which `owned` was true; -1 when unknown. */
  readonly generation: number
  /** Tasks with local state, and when it was last written (ms). */
  readonly onDisk: Readonly<Record<string, number>>
}

export interface AssignTask {
  readonly id: string
  readonly subtopology: number
  readonly sources: readonly Tp[]
}

/** A kept task is worth more than any number of warm directories that a sub-topology can have. */
const OWNED = 1_000
const WARM = 1

/**
 * Invariants (held by properties in the spec): each task at exactly one member; per sub-topology and in total no member has two
 * more than another; of all assignments of that kind one that keeps the most tasks where they run.
 * Each member's tasks come in the order of `tasks`.
 */
export function assign(members: readonly AssignMember[], tasks: readonly AssignTask[]): Map<string, AssignTask[]> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const result = new Map<string, AssignTask[]>(sorted.map((m) => [m.id, []]))
  if (sorted.length === 0) return result
  const subs = [...new Set(tasks.map((t) => t.subtopology))]
  const bySub = subs.map((s) => tasks.filter((t) => t.subtopology === s))
  const owners = owner(sorted, tasks)
  const claims = sorted.map((_, m) => bySub.map((list) => claimsOf(m, list, sorted, owners)))
  const quota = quotas(
    bySub.map((list) => list.length),
    sorted.length,
    claims.map((row) => row.map((list, s) => list[Math.floor(bySub[s]!.length / sorted.length)]?.worth ?? 0))
  )
  const placed = new Map<string, number>()
  for (const [s, list] of bySub.entries()) {
    const left = quota.map((row) => row[s]!)
    for (const [m, row] of claims.entries()) {
      for (const { task } of row[s]!.slice(0, left[m]!)) placed.set(task.id, m)
      left[m]! -= Math.min(left[m]!, row[s]!.length)
    }
    const rest = list.filter((t) => !placed.has(t.id))
    for (const task of rest) {
      const warm = warmest(task, sorted, (m) => left[m]! > 0)
      if (warm >= 0) take(placed, left, task, warm)
    }
    for (const task of rest) {
      // Round robin from the member with the most room, so that one newcomer does not take a block of neighbouring partitions.
      if (!placed.has(task.id)) take(placed, left, task, left.indexOf(Math.max(...left)))
    }
  }
  for (const task of tasks) result.get(sorted[placed.get(task.id)!]!.id)!.push(task)
  return result
}

function take(placed: Map<string, number>, left: number[], task: AssignTask, member: number): void {
  placed.set(task.id, member)
  left[member]!--
}

/**
 * Task → index of the member that runs it: the one that owns most of its sources (all of them, unless some were found since), in the highest
 * generation; two equal claims are none.
 */
function owner(members: readonly AssignMember[], tasks: readonly AssignTask[]): Map<string, number> {
  const sets = members.map((m) => new Set(m.owned.map((tp) => tpKey(tp.topic, tp.partition))))
  const owners = new Map<string, number>()
  for (const task of tasks) {
    let best = -1
    let most = 0
    let tied = false
    for (const [m, set] of sets.entries()) {
      const owned = set.size === 0 ? 0 : task.sources.filter((tp) => set.has(tpKey(tp.topic, tp.partition))).length
      if (owned === 0) continue
      const difference = owned - most || members[m]!.generation - members[best]!.generation
      if (difference > 0) {
        best = m
        most = owned
      }
      tied = difference === 0 || (tied && difference < 0)
    }
    if (best >= 0 && !tied) owners.set(task.id, best)
  }
  return owners
}

interface Claim {
  readonly task: AssignTask
  readonly worth: number
}

/**
 * What member `m` should keep of one sub-topology, the most wanted first: what it runs, tasks of which another has a copy last (those
 * are the cheapest to give away), then tasks that nobody runs and of which it has the freshest copy.
 */
function claimsOf(
  m: number,
  tasks: readonly AssignTask[],
  members: readonly AssignMember[],
  owners: Map<string, number>
): Claim[] {
  const kept: Claim[] = []
  const replaceable: Claim[] = []
  const warm: Claim[] = []
  for (const task of tasks) {
    const runs = owners.get(task.id)
    if (runs === m) {
      const copy = warmest(task, members, (other) => other !== m)
      ;(copy >= 0 ? replaceable : kept).push({ task, worth: OWNED })
    } else if (runs === undefined && warmest(task, members, () => true) === m) {
      warm.push({ task, worth: WARM })
    }
  }
  return [...kept, ...replaceable, ...warm]
}

/** The member with the freshest copy of the task's state among those `may` accepts; -1 when there is none. */
function warmest(task: AssignTask, members: readonly AssignMember[], may: (m: number) => boolean): number {
  let best = -1
  for (const [m, member] of members.entries()) {
    const at = member.onDisk[task.id]
    if (at === undefined || !may(m)) continue
    if (best < 0 || at > members[best]!.onDisk[task.id]!) best = m
  }
  return best
}
