import { expect } from 'chai'
import { groupHandler } from '../../../actors/workers/groupHandler.ts'
import type { Session } from '../../../actors/workers/session.ts'
import type { TaskPlan } from '../../../lib/task/port.ts'
import { systemClock } from '../../../lib/time.ts'

describe('the hooks of the group', () => {
  it('say loudly which partitions came that no task reads, and open the tasks that are known', async () => {
    const told: { facts: object; message: string }[] = []
    const sent: { type: string; tasks?: { id: string }[] }[] = []
    const plans = [0, 1].map((partition) => ({
      id: `0_${partition}`,
      partition,
      sources: [{ topic: 'words', partition }]
    })) as unknown as TaskPlan[]
    const session = {
      settings: {
        clock: systemClock,
        random: () => 0.5,
        logger: { error: (facts: object, message: string) => told.push({ facts, message }) }
      },
      prepared: { plans, built: { subtopologies: [] } },
      hosts: new Map(),
      send: (message: (typeof sent)[number]) => sent.push(message),
      owns() {}
    } as unknown as Session
    const hooks = groupHandler(session, () => ({ name: 'Error', code: 'X', message: '' }))
    const meta = { groupId: 'job', generation: 3, memberId: 'm' }
    const words = (...partitions: number[]) => partitions.map((partition) => ({ topic: 'words', partition }))
    await hooks.onAssigned(words(0), words(0), Buffer.alloc(0), meta)
    expect(told).to.deep.equal([])
    await hooks.onAssigned(words(1, 5), words(0, 1, 5), Buffer.alloc(0), meta)
    expect(told).to.have.length(1)
    expect(told[0]!.facts).to.deep.equal({ partitions: ['words-5'] })
    expect(told[0]!.message).to.match(/given words-5, which no task .* restart this process/)
    expect(sent.at(-1)!.tasks!.map(({ id }) => id)).to.deep.equal(['0_0', '0_1'])
  })
})
