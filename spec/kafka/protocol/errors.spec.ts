/** The table of error codes. */
import { expect } from 'chai'
import { TransportError } from '../../../lib/errors.ts'
import { check, errorName, faultOf, kafkaError } from '../../../lib/kafka/protocol/errors.ts'

describe('protocol/errors', () => {
  it('names the fault of each code that a client meets', () => {
    const faults = {
      fenced: [47, 90, 82],
      'stale-member': [22, 25],
      rebalancing: [27, 79],
      unstable: [88, 51],
      coordinator: [14, 15, 16],
      metadata: [3, 5, 6, 56, 74, 75, 78, 100],
      'out-of-range': [1],
      retriable: [2, 7, 13, 19, 20, 89],
      'unknown-outcome': [45, 46, 49, 59],
      'too-large': [10, 18, 12],
      fatal: [29, 30, 31, 53, 23, 24, 26, 35, 42, 43, 44, 48, 50, 81, 87]
    }
    for (const [fault, codes] of Object.entries(faults)) for (const code of codes) expect(faultOf(code)).to.equal(fault)
  })

  it('takes a code nobody knows as fatal, and shows the number', () => {
    expect(faultOf(9_999)).to.equal('fatal')
    expect(errorName(9_999)).to.contain('9999')
  })

  it('says what was tried, what the broker answered and how to mend it', () => {
    const error = kafkaError(10, 'Producing to orders-3', { topic: 'orders' })
    expect(error).to.be.instanceOf(TransportError)
    expect(error).to.include({ fault: 'too-large', kafkaCode: 10, code: 'ERR_TRANSPORT_TOO_LARGE', retriable: false })
    expect(error.message).to.match(/Producing to orders-3.*MESSAGE_TOO_LARGE \(10\).*max\.message\.bytes/)
    expect(error.details).to.deep.equal({ topic: 'orders' })
  })

  it('throws on anything but 0', () => {
    check(0, 'Joining')
    expect(() => check(16, 'Joining')).to.throw(TransportError, 'NOT_COORDINATOR')
  })
})
