/** A store of a task as those see it who ask from outside. */
import { keyValueFacade } from '../store/keyValue.ts'
import type { TaskState } from '../store/taskState.ts'
import { windowFacade } from '../store/window.ts'
import type { WindowRowStore } from '../store/windowRows.ts'
import type { StreamTime } from './streamTime.ts'

export function storeFace(state: TaskState, name: string, streamTime: StreamTime): unknown {
  const rows = state.store(name)
  const now = (): number => streamTime.now
  return rows.spec.kind === 'window'
    ? windowFacade(rows as WindowRowStore<unknown>, rows.spec, now, now)
    : keyValueFacade(rows, rows.spec, now)
}
