/** Items of partitions, put together by topic as requests want them. */
import type { TopicPartitions } from './protocol/api.ts'

/** Groups by topic, in order. */
export function byTopic<T extends { topic: string }, P>(
  items: readonly T[],
  pick: (item: T) => P
): TopicPartitions<P>[] {
  const topics = new Map<string, P[]>()
  for (const item of items) {
    const partitions = topics.get(item.topic)
    if (partitions) partitions.push(pick(item))
    else topics.set(item.topic, [pick(item)])
  }
  return Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
}
