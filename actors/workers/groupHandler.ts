/** The group's hooks: what the coordinator machine is told, and what the group waits for. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { assign as assignTasks } from '../../lib/assign/assignor.ts'
import { assignStandbys } from '../../lib/assign/standby.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription
} from '../../lib/assign/userData.ts'
import { TopicError, TopologyError } from '../../lib/errors.ts'
import type { Assignment, GroupHandler, Member } from '../../lib/kafka/port.ts'
import { affectedTasks, completeTasks } from '../../lib/prepare/prepare.ts'
import { type Tp, tpKey } from '../../lib/record.ts'
import { placeOf } from '../../lib/store/place.ts'
import type { TaskPlan } from '../../lib/task/port.ts'
import { type Clock, delay } from '../../lib/time.ts'
import { patternSources } from '../../lib/topology/patterns.ts'
import type { ErrorFacts } from '../events.ts'
import type { Session } from './session.ts'

export function groupHandler(session: Session, remember: (error: unknown) => ErrorFacts): GroupHandler {
  const { settings } = session
  const { clock, logger } = settings
  const processId = settings.random().toString(36).slice(2)
  /** Tasks the group gives us, by the last assignment. */
  let assigned = new Map<string, TaskPlan>()
  let began = -1 // when the rebalance began

  /** Waits for the end of these tasks, at most until the deadline; then they are killed: fences keep that correct. */
  const released = async (tasks: readonly string[]): Promise<void> => {
    const hosts = tasks.map((task) => session.hosts.get(task)).filter((host) => host !== undefined)
    const ends = Promise.all(hosts.map((host) => host.ended))
    if (await within(clock, ends, Math.round(settings.rebalanceMs * 0.75))) return
    logger.warn({ tasks }, 'Tasks did not close before the rebalance had to go on; they are closed without a commit')
    session.send({ type: 'LOST', tasks })
    await within(clock, ends, settings.closeWithinMs)
  }

  const drop = (tps: readonly Tp[]): string[] => {
    const tasks = affectedTasks([...assigned.values()], tps).map((plan) => plan.id)
    for (const task of tasks) {
      assigned.delete(task)
      session.forget(task)
    }
    return tasks
  }

  return {
    userData: () =>
      encodeSubscription({
        // Named only where it matters: a job without state makes no directory.
        processId: placeOf(settings.stateDir, processId, settings.standbys > 0),
        // A standby that follows is fresh, whenever its database last got a file.
        onDisk: {
          ...statesOnDisk(settings.stateDir, settings.store),
          ...Object.fromEntries(session.warm.map((task) => [task, clock.now()]))
        },
        advertise: settings.advertise
      }),

    ...(patternSources(session.prepared.built).length > 0 && { discover: () => session.discover() }),

    async assign(members, count) {
      try {
        await session.replan(count)
      } catch (error) {
        // State that lies in so many partitions cannot be spread over more: going on would give wrong results, so the job ends, as at a start.
        if (error instanceof TopicError || error instanceof TopologyError)
          session.send({ type: 'FAILED', error: remember(error) })
        throw error
      }
      if (settings.standbys > 0 && members.length > 1 && places(members) === 1) {
        logger.warn(
          { stateDir: settings.stateDir, members: members.length },
          'No standby can be placed: all processes of this job have one state directory (or copies of one: remove `millrace.place` in them). ' +
            'Give each a `stateDir` of its own.'
        )
      }
      return assignments(members, session.prepared.plans, session.prepared.counts, settings.standbys)
    },

    async onRebalance() {
      began = clock.now()
      session.send({ type: 'REBALANCING' })
      // Bounded: a task that does not settle in time finds its commit refused and repeats it with the new metadata.
      await within(clock, Promise.all([...session.hosts.values()].map((host) => host.hold())), settings.rebalanceMs / 4)
    },

    async onRevoked(tps, meta) {
      const tasks = drop(tps)
      if (tasks.length === 0) return
      // Tasks that go commit once more, in the generation that has just begun; those that stay get it with the assignment.
      for (const task of tasks) session.hosts.get(task)?.renew(meta)
      session.send({ type: 'REVOKED', tasks })
      await released(tasks)
    },

    async onAssigned(_added, all, userData, meta) {
      session.meta = meta
      const target = decodeAssignment(userData)
      if (target.counts) session.adopt(target.counts)
      const { plans } = session.prepared
      const planned = new Set(plans.flatMap((plan) => plan.sources.map((tp) => tpKey(tp.topic, tp.partition))))
      const strange = all.map((tp) => tpKey(tp.topic, tp.partition)).filter((tp) => !planned.has(tp))
      if (strange.length > 0) {
        logger.error(
          { partitions: strange },
          `This process was given ${strange.join(', ')}, which no task of its topology reads: nobody processes them now. ` +
            'Another version of the job is in the group: restart this process with the same version.'
        )
      }
      const complete = completeTasks(plans, all)
      const before = assigned
      assigned = new Map(complete.map((plan) => [plan.id, plan]))
      session.owns(assigned, target)
      for (const plan of complete) if (before.has(plan.id)) session.hosts.get(plan.id)?.renew(meta)
      // A task with other sources than before is opened anew: as if it had been revoked and assigned again in this moment.
      const changed = complete.filter((plan) => before.has(plan.id) && !sameSources(plan, before.get(plan.id)!))
      if (changed.length > 0) session.send({ type: 'REVOKED', tasks: changed.map(({ id }) => id) })
      session.send({
        type: 'ASSIGNED',
        tasks: complete.map(({ id, sources }) => ({ id, partitions: sources })),
        added: complete.filter((plan) => !before.has(plan.id) || changed.includes(plan)).map((plan) => plan.id),
        generation: meta.generation,
        ms: began < 0 ? -1 : clock.now() - began
      })
      began = -1
    },

    async onLost(tps, cause) {
      session.meta = undefined
      logger.warn(
        { error: cause, partitions: tps.length },
        'The group membership was lost; its tasks close without a commit'
      )
      session.send({ type: 'LOST', tasks: drop(tps) })
    },

    onError(error) {
      session.send({ type: 'FAILED', error: remember(error) })
    }
  }
}

const places = (members: readonly Member[]): number =>
  new Set(members.map(({ userData, memberId }) => decodeSubscription(userData, memberId).processId)).size

const sameSources = (a: TaskPlan, b: TaskPlan): boolean =>
  a.sources.length === b.sources.length &&
  a.sources.every(({ topic, partition }) => b.sources.some((tp) => tp.topic === topic && tp.partition === partition))

/** The leader's decision in the group's terms. All partitions of a task go to one member. */
export function assignments(
  members: readonly Member[],
  plans: readonly TaskPlan[],
  counts?: ReadonlyMap<string, number>,
  copies = 0
): Assignment[] {
  const idOf = (member: Member): string => member.instanceId ?? member.memberId
  const known = members.map((member) => ({ ...member, ...decodeSubscription(member.userData, member.memberId) }))
  const result = assignTasks(
    known.map((member) => ({ ...member, id: idOf(member) })),
    plans.map((plan) => ({ id: plan.id, subtopology: plan.subtopology.id, sources: plan.sources }))
  )
  const owners: Record<string, string[]> = {}
  const active = (member: Member): string[] => result.get(idOf(member))!.map((task) => task.id)
  for (const member of known) if (member.advertise !== undefined) owners[member.advertise] = active(member)
  const standbys = assignStandbys(
    known.map((member) => ({ ...member, id: idOf(member), active: active(member) })),
    plans.filter(({ subtopology }) => subtopology.stores.some(({ logged }) => logged)).map(({ id }) => id),
    copies
  )
  return members.map((member) => {
    const standby = standbys.get(idOf(member))!
    return {
      memberId: member.memberId,
      partitions: result.get(idOf(member))!.flatMap((task) => task.sources),
      userData: encodeAssignment({ active: active(member), standby, counts, owners })
    }
  })
}

/** Tasks with a database in the state directory, and when it last got a new file: how fresh a copy is without opening it. */
export function statesOnDisk(stateDir: string, store: string): Record<string, number> {
  const found: Record<string, number> = {}
  if (store === 'memory') return found
  try {
    for (const entry of readdirSync(stateDir, { withFileTypes: true })) {
      if (!entry.isDirectory() || !/^\d+_\d+$/.test(entry.name)) continue
      const at = modified(join(stateDir, entry.name, 'db'))
      if (at !== undefined) found[entry.name] = at
    }
  } catch {
    // No directory yet, or not ours to read: opening a task says so.
  }
  return found
}

function modified(path: string): number | undefined {
  try {
    return Math.round(statSync(path).mtimeMs)
  } catch {
    return undefined
  }
}

/** True when the work was done in time. */
async function within(clock: Clock, work: Promise<unknown>, limitMs: number): Promise<boolean> {
  const over = new AbortController()
  try {
    return await Promise.race([
      work.then(() => true),
      delay(clock, limitMs, over.signal).then(
        () => false,
        () => false
      )
    ])
  } finally {
    over.abort()
  }
}
