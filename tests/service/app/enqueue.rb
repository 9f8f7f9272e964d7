# Enqueues a job: enqueue.rb QUEUE NAME SECONDS, or `held` for SECONDS.
require '/srv/app/app'

queue, name, seconds = ARGV
job = seconds == 'held' ? HeldJob.new(name) : TimedJob.new(name, seconds.to_i)
Delayed::Job.enqueue(job, queue: queue)
