/** The assignor's promises as properties over random clusters, and the cooperative hand-over played to its end. */
import { expect } from 'chai'
import fc from 'fast-check'
import { type AssignMember, type AssignTask, assign } from '../../lib/assign/assignor.ts'
import { tpKey } from '../../lib/record.ts'

const tasksOf = (sizes: number[]): AssignTask[] =>
  sizes.flatMap((n, s) =>
    Array.from({ length: n }, (_, p) => ({
      id: `${s}_${p}`,
      subtopology: s,
      sources: [
        { topic: `a${s}`, partition: p },
        { topic: `b${s}`, partition: p }
      ]
    }))
  )

const member = (id: string, tasks: AssignTask[] = [], generation = 1, onDisk: Record<string, number> = {}) => ({
  id,
  owned: tasks.flatMap((t) => t.sources),
  generation,
  onDisk
})

const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `m${i}`)
const ids = (tasks: AssignTask[] | undefined): string[] => (tasks ?? []).map((t) => t.id)
const kept = (before: Map<string, AssignTask[]>, after: Map<string, AssignTask[]>): number => {
  let n = 0
  for (const [m, tasks] of after) n += tasks.filter((t) => before.get(m)?.includes(t)).length
  return n
}
const spread = (counts: number[]): number => Math.max(...counts) - Math.min(...counts)

const sizes = fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 5 })
const members = fc.integer({ min: 1, max: 7 })

function expectBalanced(result: Map<string, AssignTask[]>, tasks: AssignTask[]): void {
  const all = [...result.values()].flatMap(ids)
  expect([...all].sort()).to.deep.equal(ids(tasks).sort())
  expect(spread([...result.values()].map((t) => t.length))).to.be.at.most(1)
  for (const s of new Set(tasks.map((t) => t.subtopology))) {
    expect(spread([...result.values()].map((list) => list.filter((t) => t.subtopology === s).length))).to.be.at.most(1)
  }
}

describe('the assignor', () => {
  it('a task that gets another source stays where it runs', () => {
    const before = tasksOf([5])
    const grown = before.map((task) => ({
      ...task,
      sources: [...task.sources, { topic: 'new', partition: Number(task.id.slice(2)) }]
    }))
    const ran = [before.filter((_, i) => i === 1 || i === 4), before.filter((_, i) => i !== 1 && i !== 4)]
    const result = assign([member('m0', ran[0]), member('m1', ran[1])], grown)
    expect([...result.values()].map(ids)).to.deep.equal(ran.map(ids))
  })

  it('gives every task to exactly one member and balances within one, whatever was owned or on disk before', () => {
    fc.assert(
      fc.property(sizes, members, fc.infiniteStream(fc.nat(8)), fc.infiniteStream(fc.nat(3)), (n, count, who, gens) => {
        const tasks = tasksOf(n)
        const owners = tasks.map(() => who.next().value)
        const disks = tasks.map(() => who.next().value)
        const list = names(count).map((id, m) =>
          member(
            id,
            tasks.filter((_, i) => owners[i] === m),
            gens.next().value,
            Object.fromEntries(tasks.filter((_, i) => disks[i] === m).map((t, i) => [t.id, i]))
          )
        )
        expectBalanced(assign(list, tasks), tasks)
      })
    )
  })

  it('changes nothing when nothing changed, and does not depend on the order of members', () => {
    fc.assert(
      fc.property(sizes, members, (n, count) => {
        const tasks = tasksOf(n)
        const first = assign(
          names(count).map((id) => member(id)),
          tasks
        )
        const again = [...first].map(([id, list]) => member(id, list)).reverse()
        expect([...assign(again, tasks)].map(([id, list]) => [id, ids(list)])).to.deep.equal(
          [...first].map(([id, list]) => [id, ids(list)])
        )
      })
    )
  })

  it('moves to one that joins just what it must get', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), members, (n, count) => {
        const tasks = tasksOf([n])
        const before = assign(
          names(count).map((id) => member(id)),
          tasks
        )
        const after = assign([...[...before].map(([id, list]) => member(id, list)), member('zz')], tasks)
        expect(n - kept(before, after)).to.equal(after.get('zz')!.length)
      })
    )
  })

  it('moves from one that leaves just what it had', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 2, max: 7 }), (n, count) => {
        const tasks = tasksOf([n])
        const before = assign(
          names(count).map((id) => member(id)),
          tasks
        )
        const stay = [...before].slice(1).map(([id, list]) => member(id, list))
        expect(n - kept(before, assign(stay, tasks))).to.equal(before.get('m0')!.length)
      })
    )
  })

  it('keeps as many tasks as any balanced assignment can (compared with trying all)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.nat(3), { minLength: 9, maxLength: 9 }),
        (n, count, who) => {
          const tasks = tasksOf(n)
          const before = new Map(names(count).map((id, m) => [id, tasks.filter((_, i) => who[i] === m)]))
          const after = assign(
            [...before].map(([id, list]) => member(id, list)),
            tasks
          )
          expect(kept(before, after)).to.equal(bestKept(tasks, count, who))
        }
      ),
      { numRuns: 60 }
    )
  })

  it('settles after a join within three rounds of the cooperative hand-over, even though given-away state stays on disk', () => {
    fc.assert(
      fc.property(sizes, members, fc.integer({ min: 1, max: 3 }), (n, count, joining) => {
        const tasks = tasksOf(n)
        let disks = new Map<string, Record<string, number>>()
        let owned = assign(
          names(count).map((id) => member(id)),
          tasks
        )
        for (let j = 0; j < joining; j++) owned.set(`n${j}`, [])
        let at = 0
        for (let round = 0; ; round++) {
          expect(round).to.be.below(3)
          at++
          disks = new Map(
            [...owned].map(([id, list]) => [
              id,
              { ...disks.get(id), ...Object.fromEntries(list.map((t) => [t.id, at])) }
            ])
          )
          const target = assign(
            [...owned].map(([id, list]) => member(id, list, at, disks.get(id))),
            tasks
          )
          const next = withhold(owned, target)
          const done = [...next].every(([id, list]) => ids(list).join() === ids(owned.get(id)).join())
          owned = next
          if (done) break
        }
        expectBalanced(owned, tasks)
      })
    )
  })

  it('sends a task that nobody runs to the member with the freshest state', () => {
    const tasks = tasksOf([2])
    const result = assign(
      [member('a', [], 1, { '0_0': 5, '0_1': 9 }), member('b', [], 1, { '0_0': 7, '0_1': 3 })],
      tasks
    )
    expect(ids(result.get('a'))).to.deep.equal(['0_1'])
    expect(ids(result.get('b'))).to.deep.equal(['0_0'])
  })

  it('gives one that comes back the tasks of which it still has the state', () => {
    const tasks = tasksOf([4])
    const result = assign([member('a', tasks), member('b', [], -1, { '0_1': 5, '0_2': 5 })], tasks)
    expect(ids(result.get('b'))).to.deep.equal(['0_1', '0_2'])
  })

  it('believes the higher generation when two members claim one task, and neither when they are equal', () => {
    const tasks = tasksOf([1])
    const claim = (generation: number): AssignMember => member('b', tasks, generation)
    expect(ids(assign([member('a', tasks, 3), claim(4)], tasks).get('b'))).to.deep.equal(['0_0'])
    expect(ids(assign([member('a', tasks, 3), claim(2)], tasks).get('a'))).to.deep.equal(['0_0'])
    expect([...assign([member('a', tasks, 3), claim(3)], tasks).values()].flat()).to.have.length(1)
  })

  it('does not count a task as owned by a member that has only a part of its sources', () => {
    const tasks = tasksOf([2])
    const half: AssignMember = { ...member('a'), owned: [tasks[0]!.sources[0]!] }
    const result = assign([half, member('b', [tasks[0]!])], tasks)
    expect(ids(result.get('b'))).to.deep.equal(['0_0'])
  })
})

/** What the leader does with the target: a partition that another member still runs is given out one round later. */
function withhold(owned: Map<string, AssignTask[]>, target: Map<string, AssignTask[]>): Map<string, AssignTask[]> {
  const holder = new Map([...owned].flatMap(([id, list]) => list.map((t) => [tpKey(t.id, 0), id] as const)))
  return new Map(
    [...target].map(([id, list]) => [id, list.filter((t) => (holder.get(tpKey(t.id, 0)) ?? id) === id)] as const)
  )
}

function bestKept(tasks: AssignTask[], members: number, who: number[]): number {
  let best = 0
  const place = (i: number, where: number[], score: number): void => {
    if (i === tasks.length) {
      const count = (only?: number) =>
        Array.from({ length: members }, (_, m) =>
          where.reduce((n, w, t) => n + (w === m && (only === undefined || tasks[t]!.subtopology === only) ? 1 : 0), 0)
        )
      const subs = new Set(tasks.map((t) => t.subtopology))
      if (spread(count()) <= 1 && [...subs].every((s) => spread(count(s)) <= 1)) best = Math.max(best, score)
      return
    }
    for (let m = 0; m < members; m++) place(i + 1, [...where, m], score + (who[i] === m ? 1 : 0))
  }
  place(0, [], 0)
  return best
}
