import { PageTitle } from "../frame/page-title.tsx";
import { usePerson } from "../session/session.ts";
import { PasswordForm } from "./password-form.tsx";
import { SessionList } from "./session-list.tsx";

export function SettingsPage() {
  const person = usePerson();
  return (
    <>
      <PageTitle
        title="Settings"
        about={`${person.name} · ${person.email}${person.admin ? " · administrator" : ""}`}
      />
      <SessionList />
      {person.has_password && <PasswordForm />}
    </>
  );
}
