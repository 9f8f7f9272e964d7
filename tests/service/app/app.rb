# An application with background jobs, reduced to what the test of the receiver needs.
require 'logger'
require 'active_record'
require 'delayed_job_active_record'

# As config/database.yml has it: a worker connects again by this name.
ActiveRecord::Base.configurations = {
  'default_env' => {
    adapter: 'postgresql', host: '127.0.0.1', port: File.read('/srv/app/port').to_i,
    username: 'app', database: 'app'
  }
}
ActiveRecord::Base.establish_connection
Delayed::Worker.logger = Logger.new('/srv/app/delayed_job.log')

# Records what happens to a job, apart from delayed_job's own table.
def record(job, event)
  connection = ActiveRecord::Base.connection
  connection.execute("INSERT INTO events (job, event) VALUES (#{connection.quote(job)}, '#{event}')")
end

# Takes so many seconds.
TimedJob = Struct.new(:name, :seconds) do
  def perform
    record(name, 'started')
    sleep(seconds)
    record(name, 'done')
  end
end

# Waits in a process of its own until the test releases it.
HeldJob = Struct.new(:name) do
  def perform
    record(name, 'started')
    system('until [ -e /srv/app/release ]; do sleep 0.2; done') || raise('the process was killed')
    record(name, 'done')
  end
end
