import { Duration } from 'aws-cdk-lib'
import { Alarm, ComparisonOperator, type IAlarm, type IMetric, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch'
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions'
import type { ITopic } from 'aws-cdk-lib/aws-sns'
import { Construct } from 'constructs'
import type { ControlPlane } from './control-plane.ts'

const PERIOD = Duration.minutes(5)
/** One lost answer is a network; so many in five minutes are a fault. */
const ERRORS = 5

/**
 * What an operator wants to be woken for. Proxies go on with their last good configuration while the control plane is away,
 * but certificates run out after a day.
 */
export function meshAlarms(scope: Construct, controlPlane: ControlPlane, topic: ITopic | undefined): IAlarm[] {
  const { api, dataPlane, events, news, table } = controlPlane
  const sum = { period: PERIOD, statistic: 'sum' }
  const within = new Construct(scope, 'Alarms')
  const watch = (id: string, metric: IMetric, threshold: number, description: string) => {
    const alarm = new Alarm(within, id, {
      metric,
      threshold,
      evaluationPeriods: 1,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: TreatMissingData.NOT_BREACHING,
      alarmDescription: description,
    })
    if (topic !== undefined) alarm.addAlarmAction(new SnsAction(topic))
    return alarm
  }
  return [
    watch('SyncErrors', dataPlane.metricErrors(sum), ERRORS, 'Proxies get no answer: changes and certificates wait'),
    watch('SyncThrottles', dataPlane.metricThrottles(sum), ERRORS, 'Lambda concurrency of the account is used up'),
    watch('ApiErrors', api.metricErrors(sum), ERRORS, 'The management API fails'),
    watch('EventErrors', events.metricErrors(sum), ERRORS, 'Endpoints and names are late'),
    ...(news === undefined
      ? []
      : [watch('NewsErrors', news.metricErrors(sum), ERRORS, 'Pushes are lost: changes wait')]),
    watch('TableThrottles', table.metric('ReadThrottleEvents', sum), 1, 'A partition of the table is hot'),
  ]
}
