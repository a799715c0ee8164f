import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "@mantine/spotlight/styles.css";
import "./theme.css";
import { MantineProvider } from "@mantine/core";
import { Notifications, notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { setNonce } from "get-nonce";
import { createRoot } from "react-dom/client";
import { createStudioRouter } from "./router.tsx";
import { onSignedOut } from "./session/session.ts";
import { theme } from "./theme.ts";

const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
setNonce(nonce);

const queries = new QueryClient({
  // The SDK says which errors may pass; a poll asks again anyway.
  defaultOptions: { queries: { retry: false, staleTime: 1000 } },
});
const router = createStudioRouter();
// The next person at this browser must not see what the last one's page remembered.
onSignedOut(() => {
  queries.clear();
  notifications.clean();
  void router.navigate({ to: "/sign-in", search: {} });
});

const root = document.querySelector("#root");
if (root !== null) {
  createRoot(root).render(
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>,
  );
}
