/** How many tasks of each sub-topology each member gets: balanced within one, per sub-topology and in total, moving as little as possible. */

/**
 * Every member gets the floor of `sizes[s] / members` of each sub-topology; what remains (the extras, fewer than members) is spread so
 * that no member has two extras more than another. Among all such spreads this finds one that keeps the most: `claims[m][s]` = how many
 * tasks of s member m could keep, and `worth[m][s]` what keeping one above the floor is worth (0 when it has no such claim).
 *
 * It is an assignment problem (sub-topology → member, capacity 1 per pair), solved as a flow of least cost by augmenting paths.
 * @returns quota[m][s]
 */
export function quotas(sizes: readonly number[], members: number, worth: readonly (readonly number[])[]): number[][] {
  const floors = sizes.map((n) => Math.floor(n / members))
  const extras = sizes.map((n) => n % members)
  const total = extras.reduce((a, b) => a + b, 0)
  const chosen = spreadExtras(extras, members, Math.floor(total / members), worth)
  return Array.from({ length: members }, (_, m) => sizes.map((_, s) => floors[s]! + (chosen[m]!.has(s) ? 1 : 0)))
}

interface Edge {
  readonly to: number
  capacity: number
  readonly cost: number
  /** Index of the reverse edge in `graph[to]`. */
  readonly back: number
}

/** More than all worths together: a member's share up to the common floor is never traded for a kept task. */
const MUST = 1e9

function spreadExtras(
  extras: readonly number[],
  members: number,
  floor: number,
  worth: readonly (readonly number[])[]
) {
  const source = 0
  const sub = (s: number): number => 1 + s
  const member = (m: number): number => 1 + extras.length + m
  const sink = 1 + extras.length + members
  const graph: Edge[][] = Array.from({ length: sink + 1 }, () => [])
  const connect = (from: number, to: number, capacity: number, cost: number): void => {
    if (capacity === 0) return
    graph[from]!.push({ to, capacity, cost, back: graph[to]!.length })
    graph[to]!.push({ to: from, capacity: 0, cost: -cost, back: graph[from]!.length - 1 })
  }
  for (const [s, count] of extras.entries()) {
    connect(source, sub(s), count, 0)
    if (count > 0) for (let m = 0; m < members; m++) connect(sub(s), member(m), 1, -(worth[m]![s] ?? 0))
  }
  for (let m = 0; m < members; m++) {
    connect(member(m), sink, floor, -MUST)
    connect(member(m), sink, 1, 0)
  }
  while (augment(graph, source, sink)) {
    // each path places one extra, perhaps by moving others
  }
  return Array.from({ length: members }, (_, m) => {
    const taken = graph[member(m)]!.filter((e) => e.to >= 1 && e.to <= extras.length && e.capacity > 0)
    return new Set(taken.map((e) => e.to - 1))
  })
}

/** Sends one unit along the cheapest path (Bellman–Ford with a queue: costs are negative); false when there is none. */
function augment(graph: Edge[][], source: number, sink: number): boolean {
  const cost = new Array<number>(graph.length).fill(Number.POSITIVE_INFINITY)
  const via: (readonly [node: number, edge: Edge] | undefined)[] = new Array(graph.length)
  const queued = new Set([source])
  cost[source] = 0
  for (const node of queued) {
    queued.delete(node)
    for (const edge of graph[node]!) {
      const next = cost[node]! + edge.cost
      if (edge.capacity > 0 && next < cost[edge.to]! - 1e-9) {
        cost[edge.to] = next
        via[edge.to] = [node, edge]
        queued.add(edge.to)
      }
    }
  }
  if (cost[sink] === Number.POSITIVE_INFINITY) return false
  for (let node = sink; node !== source; ) {
    const [from, edge] = via[node]!
    edge.capacity--
    graph[node]![edge.back]!.capacity++
    node = from
  }
  return true
}
