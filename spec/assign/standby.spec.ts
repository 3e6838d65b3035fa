/** The promises of the placement of standbys, as properties over random clusters. */
import { expect } from 'chai'
import fc from 'fast-check'
import { assignStandbys, type StandbyMember } from '../../lib/assign/standby.ts'

interface Drawn {
  readonly members: StandbyMember[]
  readonly tasks: string[]
}

/** Up to 6 members, some of one process; each task active at one of them or at none, with stale copies here and there. */
const cluster: fc.Arbitrary<Drawn> = fc
  .record({
    processes: fc.array(fc.nat(5), { minLength: 1, maxLength: 6 }),
    runs: fc.array(fc.nat(6), { maxLength: 14 }),
    disks: fc.infiniteStream(fc.nat(12))
  })
  .map(({ processes, runs, disks }) => {
    const tasks = runs.map((_, i) => `0_${i}`)
    const members = processes.map((process, m) => ({
      id: `m${m}`,
      processId: `p${process}`,
      active: tasks.filter((_, i) => runs[i] === m),
      onDisk: Object.fromEntries(tasks.map((task) => [task, disks.next().value] as const).filter(([, at]) => at < 6))
    }))
    return { members, tasks }
  })
const copies = fc.nat(3)
const member = (id: string, active: string[], onDisk: Record<string, number> = {}): StandbyMember => ({
  id,
  processId: id,
  active,
  onDisk
})
const processOf = ({ members }: Drawn, id: string): string => members.find((m) => m.id === id)!.processId
const holdersOf = (drawn: Drawn, result: Map<string, string[]>, task: string): string[] => [
  ...drawn.members.filter(({ active }) => active.includes(task)).map(({ id }) => id),
  ...[...result].filter(([, list]) => list.includes(task)).map(([id]) => id)
]

describe('the placement of standbys', () => {
  it('gives each task that runs as many as asked for, or as there are other processes, and each in a process of its own', () => {
    fc.assert(
      fc.property(cluster, copies, (drawn, n) => {
        const result = assignStandbys(drawn.members, drawn.tasks, n)
        const processes = new Set(drawn.members.map(({ processId }) => processId)).size
        for (const task of drawn.tasks) {
          const holders = holdersOf(drawn, result, task)
          if (!drawn.members.some(({ active }) => active.includes(task))) expect(holders).to.eql([])
          else expect(holders).to.have.length(1 + Math.min(n, processes - 1))
          expect(new Set(holders.map((id) => processOf(drawn, id))).size).to.equal(holders.length)
        }
      })
    )
  })

  it('leaves none that could move to a member with two less to do', () => {
    fc.assert(
      fc.property(cluster, copies, (drawn, n) => {
        const result = assignStandbys(drawn.members, drawn.tasks, n)
        const load = (id: string): number =>
          drawn.members.find((m) => m.id === id)!.active.length + result.get(id)!.length
        for (const [from, list] of result) {
          for (const task of list) {
            const others = holdersOf(drawn, result, task).filter((id) => id !== from)
            const taken = new Set(others.map((id) => processOf(drawn, id)))
            for (const to of result.keys())
              if (!taken.has(processOf(drawn, to))) expect(load(from) - load(to)).to.be.at.most(1)
          }
        }
      })
    )
  })

  it('changes nothing when nothing changed, whatever else lies on disks, and does not depend on the order of members', () => {
    fc.assert(
      fc.property(cluster, copies, (drawn, n) => {
        const first = assignStandbys(drawn.members, drawn.tasks, n)
        const again = drawn.members.map((m) => ({
          ...m,
          onDisk: { ...m.onDisk, ...Object.fromEntries(first.get(m.id)!.map((task) => [task, 100])) }
        }))
        const sorted = (result: Map<string, string[]>) => [...result].sort(([a], [b]) => (a < b ? -1 : 1))
        expect(sorted(assignStandbys(again.reverse(), drawn.tasks, n))).to.eql(sorted(first))
      })
    )
  })

  it('gives none where none is asked for, nor to tasks without state', () => {
    const members = [member('a', ['0_0', '1_0']), member('b', ['0_1'])]
    expect([...assignStandbys(members, ['0_0', '0_1'], 0).values()].flat()).to.eql([])
    expect([...assignStandbys(members, ['0_0', '0_1'], 1)]).to.eql([
      ['a', ['0_1']],
      ['b', ['0_0']]
    ])
  })

  it('takes the freshest copy first', () => {
    const members = [member('a', ['0_0']), member('b', [], { '0_0': 5 }), member('c', [], { '0_0': 7 })]
    expect(assignStandbys(members, ['0_0'], 1).get('c')).to.eql(['0_0'])
  })

  it('after the loss of a process makes up for just what was lost', () => {
    const tasks = ['0_0', '0_1', '0_2']
    // c is gone: it ran 0_2 and stood by for 0_0; a has taken over 0_2, of which it had the copy.
    const members = [member('a', ['0_0', '0_2'], { '0_2': 9 }), member('b', ['0_1']), member('d', [], { '0_1': 9 })]
    const result = assignStandbys(members, tasks, 1)
    expect(result.get('d')).to.include('0_1')
    expect(result.get('a')).to.eql([])
    expect([...result.values()].flat().sort()).to.eql(tasks)
  })
})
