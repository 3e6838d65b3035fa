import { expect } from 'chai'
import { Schedules } from '../../lib/task/schedule.ts'

describe('Schedules', () => {
  it('fires by stream time with the first record, then on the grid of its interval', async () => {
    const fired: number[] = []
    const schedules = new Schedules()
    schedules.add(10, 'stream', (time) => void fired.push(time), 0)
    expect(schedules.nextStream).to.equal(0)
    await schedules.fire('stream', 1_234)
    expect(schedules.nextStream).to.equal(1_240)
    await schedules.fire('stream', 1_239)
    await schedules.fire('stream', 1_240)
    expect(fired).to.deep.equal([1_234, 1_240])
  })

  it('fires by wall clock after one interval, once however many points were missed', async () => {
    const fired: number[] = []
    const schedules = new Schedules()
    schedules.add(10, 'wall', (time) => void fired.push(time), 1_003)
    expect(schedules.nextWall).to.equal(1_013)
    await schedules.fire('wall', 1_012)
    await schedules.fire('wall', 1_057)
    expect(fired).to.deep.equal([1_057])
    expect(schedules.nextWall, 'its own grid: 1003 + n × 10').to.equal(1_063)
  })

  it('lets a callback cancel itself and others', async () => {
    const fired: string[] = []
    const schedules = new Schedules()
    const a = schedules.add(
      1,
      'wall',
      () => {
        fired.push('a')
        a.cancel()
        b.cancel()
      },
      0
    )
    const b = schedules.add(1, 'wall', () => void fired.push('b'), 0)
    await schedules.fire('wall', 5)
    await schedules.fire('wall', 9)
    expect(fired).to.deep.equal(['a'])
    expect(schedules.nextWall).to.equal(Number.POSITIVE_INFINITY)
  })

  it('is not due again in the same instant when a callback throws', async () => {
    const schedules = new Schedules()
    schedules.add(
      10,
      'wall',
      () => {
        throw new Error('punctuator')
      },
      0
    )
    const error = await schedules.fire('wall', 10).catch((e: Error) => e)
    expect(error).to.have.property('message', 'punctuator')
    expect(await schedules.fire('wall', 10)).to.equal(0)
  })

  it('refuses an interval below a millisecond', () => {
    expect(() => new Schedules().add(0, 'wall', () => {}, 0)).to.throw(RangeError, /at least 1 ms/)
  })
})
