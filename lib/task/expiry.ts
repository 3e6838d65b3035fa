/** Which time the window stores of a task expire by. */
import type { TaskState } from '../store/taskState.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import type { SubTopology } from '../topology/node.ts'
import type { SavedNumbers } from './saved.ts'
import type { StreamTime } from './streamTime.ts'

/**
 * Window stores of user code are kept by the task's stream time, as their face shows them. A windowed aggregation keeps a time of its
 * own, which may be behind the task's (a filter before it): expiring by the task's would refuse rows that it still takes.
 */
export function windowExpiry(
  sub: SubTopology,
  state: TaskState,
  saved: SavedNumbers,
  streamTime: StreamTime
): () => Promise<void> {
  const users = new Map<string, string[]>()
  for (const node of sub.nodes) {
    if (node.kind !== 'processor') continue
    for (const store of node.stores) users.set(store, [...(users.get(store) ?? []), node.name])
  }
  const windows = sub.stores.filter((spec) => spec.kind === 'window' || spec.kind === 'join')
  return async () => {
    for (const { name } of windows) {
      const store = state.store(name) as WindowRowStore<unknown>
      await (users.get(name)?.some((node) => saved.has(node)) ? store.expireRest() : store.expire(streamTime.now))
    }
  }
}
