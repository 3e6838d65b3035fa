/** until(): polling with a deadline, on virtual time. */
import { expect } from 'chai'
import { MillraceError } from '../../lib/errors.ts'
import { until } from '../../lib/testing/until.ts'
import { VirtualClock } from '../../lib/time.ts'

const failure = (promise: Promise<unknown>): Promise<MillraceError> =>
  promise.then(
    () => expect.fail('it resolved'),
    (error) => error
  )

describe('until', () => {
  it('gives the first truthy value, after as many tries as it takes', async () => {
    const clock = new VirtualClock()
    const values = [0, undefined, 'there', 'later']
    const wait = until(() => values.shift(), { clock, everyMs: 5 })
    await clock.advance(20)
    expect(await wait).to.equal('there')
    expect(values).to.deep.equal(['later'])
  })

  it('names what it waited for when time is out', async () => {
    const clock = new VirtualClock()
    const seen: number[] = []
    const wait = failure(
      until(() => seen.push(clock.now()) > 99, {
        clock,
        timeoutMs: 100,
        everyMs: 40,
        what: () => `${seen.length} of 99`
      })
    )
    await clock.advance(200)
    const error = await wait
    expect(error).to.be.instanceOf(MillraceError)
    expect(error.code).to.equal('ERR_TIMEOUT')
    expect(error.message).to.contain('4 of 99')
    expect(seen).to.deep.equal([0, 40, 80, 100])
  })

  it('takes a throw for "not yet" and tells the last one', async () => {
    const clock = new VirtualClock()
    const wait = failure(
      until(
        () => {
          throw new Error('no coordinator')
        },
        { clock, timeoutMs: 50, what: 'a leader' }
      )
    )
    await clock.advance(60)
    const error = await wait
    expect(error.message).to.match(/a leader.*no coordinator/)
    expect(error.cause).to.be.instanceOf(Error)
  })

  it('gives up on a try that never answers', async () => {
    const clock = new VirtualClock()
    const wait = failure(until(() => new Promise<boolean>(() => {}), { clock, timeoutMs: 50, what: 'an answer' }))
    await clock.advance(50)
    expect((await wait).message).to.contain('an answer')
  })

  it('ends early with the reason of the signal', async () => {
    const clock = new VirtualClock()
    const stop = new AbortController()
    const wait = failure(until(() => false, { clock, signal: stop.signal }))
    stop.abort(new Error('enough'))
    expect((await wait).message).to.equal('enough')
  })
})
