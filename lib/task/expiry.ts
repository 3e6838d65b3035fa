/** Which time the window stores of a task expire by. */
import type { TaskStore } from '../store/port.ts'
import type { TaskState } from '../store/taskState.ts'
import type { SubTopology } from '../topology/node.ts'

/**
 * Window stores of user code are kept by the task's stream time, as their face shows them. A windowed aggregation keeps a time of its
 * own, which may be behind the task's (a filter before it): expiring by the task's would refuse rows that it still takes.
 * To be called when the operators have asked for their numbers, and before the first record.
 * @param keepsTime whether the operator of that name does
 * @param streamTime the task's; at this call where an earlier life stood
 * @returns to be called when a commit begins, before its flush. `atomic`: as of `TaskStore.cut`
 */
export function expiry(
  sub: SubTopology,
  state: TaskState,
  keepsTime: (node: string) => boolean,
  streamTime: () => number,
  atomic: boolean
): () => Promise<void> {
  const following = followers(sub, state, keepsTime)
  for (const store of following) store.resume(streamTime())
  return async () => {
    for (const store of following) store.observe(streamTime())
    for (const store of state.stores) await store.cut(atomic)
  }
}

function followers(sub: SubTopology, state: TaskState, keepsTime: (node: string) => boolean): TaskStore[] {
  const users = new Map<string, string[]>()
  for (const node of sub.nodes) {
    if (node.kind !== 'processor') continue
    for (const store of node.stores) users.set(store, [...(users.get(store) ?? []), node.name])
  }
  return state.stores.filter(
    ({ spec: { kind, name } }) => (kind === 'window' || kind === 'join') && !users.get(name)?.some(keepsTime)
  )
}
